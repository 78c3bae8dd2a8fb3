"""Every setting has a consumer: product code that reads it while a stack is declared, not only a check of the settings.

A setting that only checks read is accepted and does nothing, as `cluster_defaults.gcs_fuse_csi_driver` once was.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pydantic import BaseModel

from config.base import Settings
from config.local.infra import LocalInfra
from config.model_service import ModelService
from config.parsing import models_in
from config.stack import Blocks, check
from infra.local import provision
from paths import CHECKOUT
from tests.golden.inventory import scenarios
from tests.unit.case import blocks, edited
from tests.unit.test_google_settings import PUBLIC
from tests.unit.test_policies import record
from workloads.local import deploy as local_deploy
from workloads.local import host_checks, ray_head

Field = tuple[str, str]
"""Settings class and field."""
ONLY_CHECKED = {
    ("CalendarMode", "start_date"): "config/google/warnings.py compares it with `active`",
    ("Engine", "unsafe_arguments"): "it only permits what engine_kwargs says",
    ("Model", "weights_gib"): "config/weights_checks.py compares it with the disk",
}
"""Field -> why no other code reads it."""
IS_CHECK = re.compile(r"issue|warning|^_check")
"""Functions that check settings. What they read is not consumed."""
KEPT = ("spec", "machine")
"""Cached properties: whoever asks first, what they read is kept for product code."""
RELEASE = {"image": "acme/ray-llm-runai@sha256:" + 64 * "a"}
MODEL = {
    "id": "m",
    "source": "bucket:m",
    "load": "mount",
    "chat_template": "/chat.jinja",
    "lora": {"dynamic_lora_loading_path": "bucket:a"},
}
ROUTES = (
    {"kind": "path", "prefix": "/a"},
    {"kind": "host", "hostname": "a.example.com"},
    {"kind": "header", "value": "a"},
)
ADDITIONAL = [
    {"name": f"m{index}", "route": route, "max_rate_per_endpoint": 10, "model": {"id": "m", "source": "a/b"}}
    for index, route in enumerate(ROUTES)
]
SCALING = {"kind": "autoscaling", "min_replicas": 1, "max_replicas": 2}
GOOGLE: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("dev", {}),
    ("prod", {"infra.gateway": PUBLIC}),
    (
        "dev",
        {
            "infra.regions.0.node_pools.0.nodes.total_max_nodes": 9,
            "infra.system_pool.total_max_nodes": 9,
            "serving.kubernetes.additional_models": ADDITIONAL,
        },
    ),
    ("prod", {"infra.regions.0.node_pools.0.nodes": {"kind": "fixed", "count": 2}}),
    ("dev", {"serving.request_router": {"kind": "prefix_cache_affinity"}}),
    ("dev", {"serving.data_path": "least_connections", "serving.request_router": "session_hash"}),
    (
        "dev",
        {
            "serving.data_path": "least_connections",
            "serving.request_router": "prompt_hash",
            "serving.api_keys": {"max_requests": 4},
        },
    ),
    (
        "prod",
        {
            "infra.cluster_defaults.gcs_fuse_csi_driver": True,
            "infra.cluster_defaults.control_plane_access.authorized_networks": [
                {"name": "office", "cidr": "10.9.0.0/16"}
            ],
            "serving.model": MODEL,
            "serving.engine.env": {"VLLM_LOGGING_LEVEL": "DEBUG"},
            "serving.max_ongoing_requests": 64,
            "serving.request_router": {"kind": "session", "header": "x-session-id"},
            "serving.kubernetes.releases.r1": {**RELEASE, "replicas": SCALING, "engine": {}, "model": MODEL},
        },
    ),
)
"""Stacks that, with those of tests/golden, have every block: the stack's file and an edit."""


@contextmanager
def reads() -> Iterator[set[Field]]:
    """Yield the fields that product code reads inside the block, except while it checks the settings."""
    found: set[Field] = set()

    def get(self: Any, name: str) -> Any:
        known = type(self).__pydantic_fields__ if not name.startswith("_") else {}
        names = set(known) if name == "model_dump" else {name} & set(known)
        fields = {(declaring(type(self), each), each) for each in names}
        if fields - found and is_consumer(sys._getframe(1)):
            found.update(fields)
        return object.__getattribute__(self, name)

    Settings.__getattribute__ = get  # type: ignore[method-assign]
    try:
        yield found
    finally:
        del Settings.__getattribute__


def is_consumer(frame: Any) -> bool:
    """Return True if the caller is product code, and no function above it checks settings."""
    file = Path(frame.f_code.co_filename)
    if not file.is_relative_to(CHECKOUT) or file.is_relative_to(CHECKOUT / "tests"):
        return False
    while frame is not None:
        code = frame.f_code
        if code.co_name in KEPT:
            return True
        if code.co_filename.startswith(str(CHECKOUT)) and IS_CHECK.search(code.co_name):
            return False
        frame = frame.f_back
    return True


def declaring(model: type[BaseModel], name: str) -> str:
    """Return the name of the class that declares a field."""
    return next(base.__name__ for base in reversed(model.__mro__) if name in getattr(base, "__annotations__", {}))


def all_fields() -> set[Field]:
    """Return every field of every settings class, except those that select a class."""
    seen: set[type[BaseModel]] = set()
    waiting: list[type[BaseModel]] = [Blocks]
    while waiting:
        model = waiting.pop()
        if model not in seen:
            seen.add(model)
            waiting += [inner for field in model.model_fields.values() for inner in models_in(field.annotation)]
    seen.remove(Blocks)
    return {(declaring(model, name), name) for model in seen for name in model.model_fields if name != "kind"}


def declare_google() -> None:
    """Declare the stacks of tests/golden and of GOOGLE."""
    for each in scenarios():
        record(each.stack, {**each.edit, "serving": None})
    for stack, edit in GOOGLE:
        record(stack, edit)


def declare_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Declare stack local with a bucket."""
    access = {"credentials_file": str(tmp_path / "key.json"), "endpoint": "http://127.0.0.1:1"}
    settings = check(
        "local",
        edited(
            blocks("local"),
            {
                "infra.bucket_access": access,
                "serving.model.source": "gs://weights/tiny",
                "serving.data_path": "python_proxy",
                "serving.ingress": {"num_replicas": 1},
                "serving.request_router": "prefix_cache_affinity",
            },
        ),
    )
    assert isinstance(settings.infra, LocalInfra)
    assert settings.serving is not None
    monkeypatch.setattr(host_checks, "find_issues", lambda *_: ())
    monkeypatch.setattr(ray_head, "_haproxy_binary", lambda _: tmp_path)
    host = replace(provision.local_host(settings.infra, "local", CHECKOUT), data_dir=tmp_path)
    serving = settings.serving

    class Nothing(pulumi.runtime.Mocks):
        def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
            return args.name, dict(args.inputs)

        def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], None]:
            return {}, None

    pulumi.runtime.set_mocks(Nothing(), project="rayllm", stack="local", preview=False)
    pulumi.runtime.test(lambda: local_deploy.deploy(serving, host))()


def test_every_setting_has_a_consumer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with reads() as found:
        declare_google()
        declare_local(tmp_path, monkeypatch)
    unread = all_fields() - found
    assert sorted(unread - ONLY_CHECKED.keys()) == []
    assert sorted(ONLY_CHECKED.keys() & found) == [], "they have a consumer now"


def test_a_setting_that_only_a_check_reads_is_found() -> None:
    service = check("dev", blocks("dev")).serving
    assert isinstance(service, ModelService)
    source = "def declare(service): return service.model.id\ndef find_issues(service): return service.model.gated\n"
    namespace: dict[str, Any] = {}
    exec(compile(source, str(CHECKOUT / "config" / "example.py"), "exec"), namespace)
    with reads() as found:
        namespace["declare"](service)
        namespace["find_issues"](service)
    assert {("Model", "id"), ("ModelService", "model")} <= found
    assert ("Model", "gated") not in found
