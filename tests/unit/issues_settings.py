"""Keys and values that no setting has, whatever they mean."""

from tests.unit.case import ABSENT, Case

CASES = [
    Case("settings.unknown-key", {"serving.data_pth": "haproxy"}, ("serving.data_pth: ", "`data_path`")),
    Case(
        "settings.unknown-key",
        {"infra.regions.0.node_pools.0.boot_disk_type": "hyperdisk-balanced"},
        (". Write one of `",),
        "dev",
    ),
    Case("settings.unknown-key", {"infra.zzz": 1}, ("`infra` has no such key", "`data_dir`, `kind`")),
    Case("settings.renamed-key", {"infra.folder": "/tmp/rayllm"}, ("infra.folder: ", "Write `data_dir` instead")),
    Case("settings.removed-key", {"infra.gateway.callers": "anyone"}, ("infra.gateway.callers: ", "Remove it"), "dev"),
    Case("settings.renamed-value", {"infra.kind": "machine"}, ("infra.kind: ", "Write `local`")),
    Case(
        "settings.block-missing",
        {"serving": ABSENT},
        ("serving: missing", "has no `rayllm:serving` under `config:`", "`rayllm:serving: null`"),
        "prod",
    ),
    Case("settings.block-missing", {"infra": ABSENT}, ("infra: missing", "Copy the block from Pulumi.local.yaml")),
    Case(
        "settings.block-missing",
        {"serving": ABSENT, "raylm:serving": {}},
        ("`raylm:serving` is of another project", "Write `rayllm:serving` in place of `raylm:serving`"),
        "prod",
    ),
    Case("settings.missing", {"serving.model": {}}, ("serving.model.id: missing",)),
    Case("settings.wrong-type", {"serving.model.id": 7}, ("serving.model.id: 7", "text")),
    Case("settings.wrong-format", {"serving.model.id": "a b"}, ("serving.model.id: 'a b'", "96 letters")),
    Case("settings.unknown-value", {"serving.data_path": "nginx"}, ("`least_connections` or `direct_streaming`",)),
    Case("settings.unknown-kind", {"serving.replicas": {"kind": "some"}}, ("`kind` with one of `fixed`",)),
    Case("settings.out-of-range", {"infra.logical_gpus": 0}, ("infra.logical_gpus: 0", "1 or more")),
    Case("settings.out-of-range", {"infra.project.number": 0}, ("infra.project.number: 0", "above 0"), "dev"),
    Case("settings.list-length", {"infra.regions": []}, ("infra.regions: the list has 0 entries", "at least 1"), "dev"),
    Case(
        "serving.model.old-bucket-scheme",
        {"serving.model.source": "store:gemma"},
        ("serving.model.source: store:gemma", "Write `bucket:gemma`"),
        "prod",
    ),
]
