"""What a preview means, in plain language: read from the engine's own record of it, told without the code's words.

`python -m tools.preview.render FILE [ENVIRONMENT]`:
FILE is what `pulumi preview --event-log` writes, or what `pulumi preview
--json` prints (with --show-sames, or GPUs that do not change are not counted). Standard library and infra's tables.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.google import pricing
from config.google.pricing import Pool, Range

CREATED, REPLACED, DESTROYED, UPDATED = "created", "replaced", "destroyed", "updated"
OPERATIONS = {"create": CREATED, "import": CREATED, "replace": REPLACED, "delete": DESTROYED, "update": UPDATED}
"""The engine's word -> ours. `create-replacement` and `delete-replaced` are the halves of a `replace`."""
STAYS = ("same", "refresh")

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"
REDIS = "gcp:redis/instance:Instance"
BUCKET = "gcp:storage/bucket:Bucket"
ZONE = "gcp:dns/managedZone:ManagedZone"
RAY_SERVICE = "kubernetes:ray.io/v1:RayService"
ADDRESSES = ("gcp:compute/address:Address", "gcp:compute/globalAddress:GlobalAddress")
EXPORT = "kubernetes:net.gke.io/v1:ServiceExport"
GATEWAY = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
ROUTE = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"

PROTECTED = {
    CLUSTER: "all that runs in it ends, and its region serves nothing",
    BUCKET: "the models in it are deleted",
    REDIS: "Ray's heads of the region forget what they know, and a head that ends takes its replicas with it",
    **dict.fromkeys(ADDRESSES, "clients that know the address reach nothing"),
    ZONE: "every name in it stops being answered",
    GATEWAY: "no request gets in by it",
    ROUTE: "what it routed is answered with 404",
    "gcp:kms/cryptoKey:CryptoKey": "what it encrypted cannot be read again",
    "gcp:kms/keyRing:KeyRing": "what its keys encrypted cannot be read again",
}
"""Kinds whose loss hurts -> how."""

KINDS = {
    CLUSTER: "cluster",
    NODE_POOL: "node pool",
    REDIS: "Redis instance",
    BUCKET: "bucket",
    ZONE: "DNS zone",
    GATEWAY: "Gateway",
    ROUTE: "HTTPRoute",
    RAY_SERVICE: "RayService",
    **dict.fromkeys(ADDRESSES, "address of the entrance"),
    "gcp:kms/cryptoKey:CryptoKey": "encryption key",
    "gcp:kms/keyRing:KeyRing": "key ring",
    "gcp:projects/service:Service": "Google API",
    "gcp:projects/serviceIdentity:ServiceIdentity": "agent of a Google API",
    "gcp:dns/recordSet:RecordSet": "DNS record",
    "gcp:compute/routerNat:RouterNat": "NAT",
    "gcp:gkehub/feature:Feature": "fleet feature",
    "gcp:serviceaccount/account:Account": "service account",
    "gcp:artifactregistry/repository:Repository": "image repository",
    "gcp:compute/firewall:Firewall": "firewall rule",
    "gcp:compute/securityPolicy:SecurityPolicy": "Cloud Armor policy",
}
"""Kinds that have a name of their own; the others are called by their type's."""
NAMED = 8
"""So many of a kind are named; of more, the rest is counted."""
POOL_IN_PLACE = ("labels", "taints", "resourceLabels", "tags")
"""Of `nodeConfig`: GKE changes them on the nodes that there are."""
BOUNDS = ("replicas", "minReplicas", "maxReplicas")
"""Of a worker group: KubeRay's hash of the pods leaves them out."""
SECOND_SET = "A SECOND SET OF GPUs IS NEEDED"
SECRET_KEY = "4dabf18193072939515e22adb298388d"
SECRET = "[secret]"
SECRET_NAME = re.compile(
    r"passw|secret|token|credential|(private|api|client)[_-]?key|auth_?string|authorization|kube_?config"
    r"|certificate-authority",
    re.IGNORECASE,
)
"""Of an input: a text there is not shown, whether the engine knows that it is secret or not."""
NONE = "nothing"
"""In place of a value that is not there."""


@dataclass(frozen=True)
class Change:
    """What happens to one resource; of one that stays as it is, too."""

    does: str
    """CREATED ... or the empty text where it stays."""
    type: str
    name: str
    old: Mapping[str, Any]
    """Inputs before; empty where there was none."""
    new: Mapping[str, Any]
    """Inputs after; empty where there is none any more."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """Path -> add, update, delete, and the same with -replace."""
    forced_by: tuple[str, ...] = ()
    """Inputs that force a replacement."""
    was_protected: bool = False
    is_protected: bool = False

    @property
    def kind(self) -> str:
        """In words."""
        return KINDS.get(self.type) or _words(self.type.rpartition(":")[2])

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def region(self) -> str:
        """A Google region, where the name or the inputs have one."""
        where = self.new.get("location") or self.new.get("region") or self.old.get("location") or self.old.get("region")
        found = re.search(r"[a-z]+-[a-z]+\d+", self.name)
        return where if isinstance(where, str) else found.group() if found else "its region"


@dataclass(frozen=True)
class Verdict:
    """What a policy said."""

    policy: str
    level: str
    """advisory, mandatory, remediate."""
    message: str
    resource: str


@dataclass(frozen=True)
class Plan:
    """One preview, read."""

    changes: Sequence[Change]
    errors: Sequence[str] = ()
    verdicts: Sequence[Verdict] = ()
    rules: frozenset[str] = frozenset()
    """Policies that were asked; none where the preview ran without the pack."""
    whole: bool = True
    """Whether resources that stay as they are were in the record."""

    def pools(self, *, after: bool) -> list[Pool]:
        """Node pools before the change, or after it."""
        own = [change for change in self.changes if change.type == NODE_POOL]
        return [pricing.pool(each.name, side) for each in own if (side := each.new if after else each.old)]


def read(record: str) -> Plan:
    """What `--event-log` wrote or `--json` printed. Raises `ValueError` where it is neither."""
    start = re.search(r"^\{", record, re.MULTILINE)  # warnings may come before
    if start is None:
        raise ValueError("this is no record of a preview: write the file of `pulumi preview --event-log`")
    text = record[start.start() :]
    first, end = json.JSONDecoder().raw_decode(text)
    if "steps" in first or "changeSummary" in first:
        return _of_digest(first)
    rest = (json.loads(line) for line in text[end:].splitlines() if line.strip())
    return _of_events([first, *rest])


def summary(plan: Plan, environment: str = "") -> str:
    """The whole text; it reads the same on a terminal and as Markdown."""
    blocks = [_headline(plan, environment)]
    for title, lines in (
        ("THIS PREVIEW FAILED, and what follows may not be all:", plan.errors),
        ("LOOK HERE FIRST:", list(dangers(plan))),
        ("What the policies say:", list(_policies(plan))),
        ("What changes:", list(_listed(plan))),
        ("What that means for requests:", list(_meaning(plan))),
        ("GPUs, cost and quota:", list(_money(plan))),
    ):
        if lines:
            # Each on a line of its own, whatever a name or a value has in it.
            blocks.append("\n".join([title, "", *(f"- {' '.join(line.split())}" for line in lines)]))
    return "\n\n".join(blocks) + "\n"


def changed(plan: Plan) -> list[Change]:
    """What does not stay as it is, the kinds that hurt first."""
    order = {does: i for i, does in enumerate((REPLACED, DESTROYED, UPDATED, CREATED))}
    return sorted((c for c in plan.changes if c.does), key=lambda c: (order[c.does], c.kind, c.name))


def shown(value: object) -> str:
    """A value for a person: nothing secret, and words for what is not known yet."""
    value = _opened(value)
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text.replace(pricing.UNKNOWN, "known after apply")


def differences(change: Change) -> Iterator[tuple[str, str, str, str]]:
    """(path, how it differs, value before, value after), all fit to be seen."""
    for path, kind in sorted(change.paths.items()):
        hidden = change.type.endswith(":Secret") or SECRET_NAME.search(path)
        old, new = (SECRET if hidden else shown(_at(side, path)) for side in (change.old, change.new))
        yield path, kind, old, new


def _at(inputs: object, path: str) -> object:
    """What is at the engine's path `a.b[0]["c.d"]`. Something secret on the way hides what is below it."""
    for name, quoted, index in re.findall(r"""([^.\[\]"]+)(?=[.\[]|$)|\["([^"]+)"\]|\[(\d+)\]""", path):
        if index and isinstance(inputs, list):
            inputs = inputs[int(index)] if int(index) < len(inputs) else NONE
        elif isinstance(inputs, Mapping):
            if SECRET_KEY in inputs:
                return SECRET
            key = name or quoted
            inputs = SECRET if key == "value" and _is_secret(inputs) else inputs.get(key, NONE)
        elif inputs != SECRET:
            return NONE
    return inputs


# What an engine's record says


def _of_events(events: Iterable[Mapping[str, Any]]) -> Plan:
    steps: list[Mapping[str, Any]] = []
    errors: list[str] = []
    verdicts: list[Verdict] = []
    rules: set[str] = set()
    for event in events:
        if "preludeEvent" in event:
            steps, errors, verdicts = [], [], []  # of an update's last pass: the update itself
        elif "resourcePreEvent" in event:
            steps.append(event["resourcePreEvent"]["metadata"])
        elif "diagnosticEvent" in event and event["diagnosticEvent"].get("severity") == "error":
            errors.append(event["diagnosticEvent"].get("message", ""))
        elif "policyEvent" in event:
            verdicts.append(_verdict(event["policyEvent"]))
        elif "policyAnalyzeSummaryEvent" in event:
            asked = event["policyAnalyzeSummaryEvent"]
            rules |= {*(asked.get("passed") or ()), *(asked.get("failed") or ())}
    forced = _forced(steps, "keys")
    read_steps = (_change(step, step.get("old"), step.get("new"), "diffKind", forced) for step in steps)
    return _plan(read_steps, errors, verdicts, rules, whole=True)


def _of_digest(digest: Mapping[str, Any]) -> Plan:
    steps = digest.get("steps") or []
    forced = _forced(steps, "replaceReasons")
    read_steps = (_change(step, step.get("oldState"), step.get("newState"), "kind", forced) for step in steps)
    errors = [each.get("message", "") for each in digest.get("diagnostics") or [] if each.get("severity") == "error"]
    same = (digest.get("changeSummary") or {}).get("same", 0)
    whole = not same or sum(step.get("op") in STAYS for step in steps) >= same
    return _plan(read_steps, errors, [], (), whole=whole)


def _forced(steps: Iterable[Mapping[str, Any]], word: str) -> dict[str, tuple[str, ...]]:
    """URN -> inputs that force its replacement. What is replaced because of another has them on one of its halves."""
    found: dict[str, tuple[str, ...]] = {}
    for step in steps:
        if step["op"] in ("replace", "create-replacement"):
            found[step["urn"]] = found.get(step["urn"]) or tuple(step.get(word) or ())
    return found


def _change(
    step: Mapping[str, Any],
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    kind: str,
    forced: Mapping[str, tuple[str, ...]],
) -> tuple[str, Change] | None:
    urn, op = step["urn"], step["op"]
    type_ = (new or old or {}).get("type") or urn.split("::")[2].rpartition("$")[2]
    # Components only group; the stack, providers and waits are the program's own.
    if type_.startswith(("rayllm:", "pulumi:")) or type_.startswith("pulumi-python:dynamic/"):
        return None
    if op not in OPERATIONS and op not in STAYS:
        return None
    does = OPERATIONS.get(op, "")
    return urn, Change(
        does=does,
        type=type_,
        name=urn.split("::")[-1],
        old={} if does == CREATED else (old or {}).get("inputs") or {},
        new={} if does == DESTROYED else (new or {}).get("inputs") or {},
        paths={path: diff[kind] for path, diff in (step.get("detailedDiff") or {}).items()},
        forced_by=forced.get(urn, ()),
        was_protected=bool((old or {}).get("protect")),
        is_protected=bool((new or {}).get("protect")),
    )


def _plan(
    steps: Iterable[tuple[str, Change] | None],
    errors: Iterable[str],
    verdicts: Sequence[Verdict],
    rules: Iterable[str],
    *,
    whole: bool,
) -> Plan:
    found: dict[str, Change] = {}
    for step in steps:
        if step is None:
            continue
        urn, change = step
        if urn not in found or change.does or not found[urn].does:  # what is done counts, not what was looked at
            found[urn] = change
    told = [_sentence(each) for each in errors]
    return Plan(
        tuple(found.values()),
        tuple(dict.fromkeys(each for each in told if each and each != "preview failed")),
        tuple(verdicts),
        frozenset(rules),
        whole,
    )


def _verdict(event: Mapping[str, Any]) -> Verdict:
    return Verdict(
        event.get("policyName", ""),
        event.get("enforcementLevel", ""),
        _sentence(event.get("message", "")),
        event.get("resourceUrn", "").split("::")[-1],
    )


def _sentence(text: str) -> str:
    """One line, without the engine's way around a protection: it is not the way to go."""
    text = re.sub(r"<\{%[^%]*%\}>", "", text)  # the engine's marks of colour
    line = " ".join(text.split())
    line = re.sub(r"^error: ", "", re.sub(r"Preview failed: ", "", line))
    way = "`traffic: drained` for its region" if ":RayService::" in line else "`protect: false`"
    line = re.sub(r'resource "urn:[^"]*::([^":]+)"', r"\1", line)
    return re.sub(r" ?To unprotect the resource,.*", f" Write {way} first, in an edit of its own.", line)


# What it comes to


def counts(plan: Plan) -> dict[str, int]:
    """How many resources are created, replaced, destroyed, updated."""
    return {does: sum(c.does == does for c in plan.changes) for does in (CREATED, REPLACED, DESTROYED, UPDATED)}


def _headline(plan: Plan, environment: str) -> str:
    where = f"{environment}: " if environment else ""
    if not any(counts(plan).values()):
        return f"{where}nothing changes." if not plan.errors else f"{where}no change could be worked out."
    stay = sum(not c.does for c in plan.changes)
    parts = ", ".join(f"{n} {does}" for does, n in counts(plan).items())
    stays = f"; {stay} {'stays as it is' if stay == 1 else 'stay as they are'}."
    return f"{where}{parts}" + (stays if plan.whole else ".")


def dangers(plan: Plan) -> Iterator[str]:
    """What cannot be taken back."""
    for change in changed(plan):
        if change.type in PROTECTED and change.does in (REPLACED, DESTROYED):
            refused = " It is protected: the engine refuses this." if change.was_protected else ""
            why = f" (because of its {', '.join(change.forced_by)})" if change.forced_by else ""
            done = "DESTROYED" if change.does == DESTROYED else "DESTROYED AND MADE AGAIN"
            comes_back = (change.type, change.does) == (CLUSTER, REPLACED)
            end = " until it is there again and its models answer" if comes_back else ""
            yield f"{change.title} is {done}{why}: {PROTECTED[change.type]}{end}.{refused}"
    bare = [c for c in plan.changes if c.type in PROTECTED and c.was_protected and not c.is_protected and c.new]
    if bare:
        yield f"PROTECTION IS TAKEN OFF {_names(c.title for c in bare)}: a later edit can destroy them."


def _listed(plan: Plan) -> Iterator[str]:
    for does in (REPLACED, DESTROYED, UPDATED, CREATED):
        kinds: dict[str, list[Change]] = {}
        for change in changed(plan):
            if change.does == does:
                kinds.setdefault(change.kind, []).append(change)
        if kinds:
            told = (f"{kind} {_names(c.name for c in own)}{_how(own)}" for kind, own in kinds.items())
            yield f"{does}: {'; '.join(told)}"


def _how(changes: Sequence[Change]) -> str:
    """What is new of an update, where it can be said in a few words."""
    if len(changes) != 1 or changes[0].does != UPDATED or not 0 < len(changes[0].paths) <= 2:
        return ""
    told = [f"{path} {old} -> {new}" for path, _, old, new in differences(changes[0])]
    return f" ({', '.join(told)})" if sum(map(len, told)) <= 80 else ""


def _meaning(plan: Plan) -> Iterator[str]:
    clusters = {c.region for c in plan.changes if c.type == CLUSTER and c.does in (REPLACED, DESTROYED)}
    new = {c.region for c in plan.changes if c.type == RAY_SERVICE and c.does == CREATED}
    for change in changed(plan):
        if change.type == NODE_POOL and change.region not in clusters:
            yield from _pool(change)
        elif change.type == RAY_SERVICE:
            yield from _ray_service(change, plan)
        elif change.does == UPDATED:
            yield from _in_place(change)
        elif change.type == EXPORT and change.does in (CREATED, DESTROYED):
            back = "takes requests" if change.region in new else "takes requests again"
            into = back if change.does == CREATED else "takes no new requests"
            yield f"{change.region} {into} for {_mapping((change.new or change.old).get('metadata')).get('name')}."
        elif change.type == "gcp:dns/recordSet:RecordSet" and change.does == REPLACED:
            yield f"DNS record {change.name} is deleted, then made: the hostname has no answer in between."
    if not any(c.does in (REPLACED, DESTROYED, UPDATED) for c in plan.changes) and changed(plan):
        yield "Nothing that there is already is touched."


def _pool(change: Change) -> Iterator[str]:
    if change.does == CREATED:
        return
    old = pricing.pool(change.name, change.old)
    had = f"up to {_most(old)} GPUs" if old.accelerator else "the nodes of Ray's heads"
    if change.does == DESTROYED:
        yield f"{change.title} goes: replicas on it end, and {change.region} has {had} fewer."
    elif change.does == REPLACED:
        yield (
            f"{change.title} is deleted, then made again ({_why(change)}): replicas on it end, and {change.region} is "
            f"without {had} until new nodes have come."
        )
    else:
        yield from _size(change, old, pricing.pool(change.name, change.new))
        again = sorted({p.split(".")[1] for p in change.paths if p.startswith("nodeConfig.")} - set(POOL_IN_PLACE))
        if again:
            yield (
                f"{change.title}: GKE makes its nodes again, one after the other ({', '.join(again)}); what runs on a "
                f"node moves or ends with it."
            )


def _size(change: Change, old: Pool, new: Pool) -> Iterator[str]:
    """Of a pool that stays: nodes that go or come."""
    if gone := sorted(set(_zones(change.old)) - set(_zones(change.new))):
        yield f"{change.title}: its nodes in {', '.join(gone)} go, and the replicas on them end."
    elif old.high is None or new.high is None or old.high == new.high:
        return
    elif new.high > old.high:
        come = f"there may be up to {new.high} nodes" if "autoscaling" in change.new else "nodes are added"
        yield f"{change.title}: {come}; no request is touched."
    elif "autoscaling" in change.new:
        yield (
            f"{change.title}: there may be no more than {new.high} nodes; those above go when the autoscaler finds "
            f"nothing running on them."
        )
    else:
        yield (
            f"{change.title}: GKE takes nodes away until it has {new.high}: replicas on the others end, and come back "
            f"only where GPUs are free."
        )


def _zones(inputs: Mapping[str, Any]) -> list[str]:
    zones = inputs.get("nodeLocations")
    return [zone for zone in zones if isinstance(zone, str)] if isinstance(zones, list) else []


def _in_place(change: Change) -> Iterator[str]:
    """Of other kinds: updates that clients or Ray may notice."""
    if change.type == REDIS and "memorySizeGb" in change.paths:
        loses = change.new.get("tier") == "BASIC"
        then = f"{PROTECTED[REDIS]}" if loses else "it is away for up to a minute, and requests are answered meanwhile"
        yield f"{change.title} is scaled{', and a BASIC one is emptied by that' if loses else ''}: {then}."
    elif change.type == CLUSTER and {"minMasterVersion", "releaseChannel.channel"} & set(change.paths):
        yield (
            f"{change.title}: GKE upgrades the control plane, which no request goes through; its nodes follow in their "
            f"maintenance windows, one after the other, and what runs on a node moves or ends with it."
        )


def _ray_service(change: Change, plan: Plan) -> Iterator[str]:
    where = f"{change.title} in {change.region}"
    if change.does == CREATED:
        return
    if change.does == DESTROYED:
        yield f"{where} goes: its model is served there no more."
        return
    if change.does == REPLACED:
        first = (
            "It is protected: write `traffic: drained` for its region first."
            if change.was_protected
            else "Nothing protects it: see that its region is drained."
        )
        yield (
            f"{where} is deleted, then made again ({_why(change)}): the region is out for this model from the deletion "
            f"until new replicas answer. {first}"
        )
        return
    old, new = _mapping(change.old.get("spec")), _mapping(change.new.get("spec"))
    pods = list(_new_pods(where, old, new, _room(change.region, plan, new)))
    yield from pods
    if not any(SECOND_SET in line for line in pods):  # which starts with the new Serve configuration
        yield from _serve(where, old.get("serveConfigV2"), new.get("serveConfigV2"))


def _new_pods(where: str, old: Mapping[str, Any], new: Mapping[str, Any], room: str) -> Iterator[str]:
    was, is_ = _mapping(old.get("rayClusterConfig")), _mapping(new.get("rayClusterConfig"))
    if was == is_:
        return
    if _hashed(was) == _hashed(is_):
        yield f"{where}: only bounds of worker groups change, which KubeRay leaves alone: this edit does nothing."
    elif _appended(was, is_):
        yield f"{where}: a group of workers is added to the RayCluster that there is; no request is touched."
    elif (kind := _mapping(new.get("upgradeStrategy")).get("type", "NewCluster")) == "None":
        yield f"{where}: its pods change, and KubeRay is told to make no second RayCluster: this edit does nothing."
    else:
        fewest, most = _worker_gpus(is_)
        needs = "an unknown number of" if fewest is None else str(fewest) if fewest == most else f"{fewest} to {most}"
        yield (
            f"{where}: {SECOND_SET} ({kind}): new pods come up as a second RayCluster beside the "
            f"first, with {needs} GPUs more until they answer; then requests move over and the first one goes.{room} "
            f"Without these GPUs the second one waits, and the first one serves on."
        )


def _room(region: str, plan: Plan, second: Mapping[str, Any]) -> str:
    """Whether the region's pools hold a second RayCluster of the spec `second` beside all that there are; the empty
    text where that cannot be told: a number is unknown, or pools have different GPUs."""
    own = [pool for pool in plan.pools(after=True) if pool.region == region and pool.accelerator is not None]
    services = (c.old for c in plan.changes if c.type == RAY_SERVICE and c.region == region and c.old)
    specs = [_mapping(inputs.get("spec")) for inputs in services]
    sizes = [_worker_gpus(_mapping(spec.get("rayClusterConfig"))) for spec in [second, *specs]]
    have = pricing.total(pricing.gpus(own).values()).high
    known = [(low, high) for low, high in sizes if low is not None and high is not None]
    if have is None or len({pool.accelerator for pool in own}) != 1 or len(known) < len(sizes):
        return ""
    most = sum(high for _, high in known)
    if most <= have:
        return f" The pools of {region} have room for both: up to {have:.0f} GPUs."
    fewest = sum(low for low, _ in known)
    enough = "ENOUGH ONLY WHILE FEW REPLICAS RUN" if fewest <= have else "NOT ENOUGH"
    both = f"{fewest} to {most}" if fewest != most else f"{most}"
    return f" The pools of {region} have up to {have:.0f} GPUs, and both take {both}: {enough}."


def _serve(where: str, old: object, new: object) -> Iterator[str]:
    if old == new:
        return
    if not isinstance(old, str) or not isinstance(new, str) or pricing.UNKNOWN in (old, new) or SECRET in (old, new):
        yield f"{where}: what Serve runs may change; the preview does not know yet how."
        return
    lines = difflib.ndiff(old.splitlines(), new.splitlines())
    keys = sorted({line[2:].strip(" -").partition(":")[0] for line in lines if line[:1] in "+-"})
    if set(keys) <= {"num_replicas"}:
        yield f"{where}: Serve adds or ends replicas in place; one that goes finishes its answers first."
        return
    bounds = [key for key in keys if key in ("min_replicas", "max_replicas", "initial_replicas")]
    note = " Bounds of autoscaling are an argument of the deployment, so they count, too." if bounds else ""
    yield (
        f"{where}: EVERY REPLICA IS REPLACED, one after the other ({', '.join(keys)}): each ends its answers first, "
        f"and where no GPU is free there is one replica less at each step.{note}"
    )


def _hashed(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What KubeRay looks at to see whether pods change."""
    groups = [{k: v for k, v in _mapping(g).items() if k not in BOUNDS} for g in config.get("workerGroupSpecs") or []]
    return {**config, "workerGroupSpecs": groups}


def _appended(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    was, is_ = _hashed(old), _hashed(new)
    groups = was["workerGroupSpecs"]
    return len(is_["workerGroupSpecs"]) > len(groups) and was == {
        **is_,
        "workerGroupSpecs": is_["workerGroupSpecs"][: len(groups)],
    }


def _worker_gpus(config: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Of all worker pods at their fewest and at their most; None where a number is not known."""
    low = high = 0
    for group in config.get("workerGroupSpecs") or []:
        try:
            [container, *_] = group["template"]["spec"]["containers"]
            each = int(container["resources"]["limits"].get("nvidia.com/gpu", 0))
            low += each * int(group.get("minReplicas", group.get("replicas")))
            high += each * int(group.get("maxReplicas", group.get("replicas")))
        except (KeyError, TypeError, ValueError):
            return None, None
    return low, high


def money(plan: Plan) -> tuple[str, str] | None:
    """GPUs, and what a month of their nodes costs, before and after; None where the preview says nothing of them."""
    before, after = plan.pools(after=False), plan.pools(after=True)
    if (not before and not after) or (plan.errors and not changed(plan)):
        return None
    gpus = [pricing.total(pricing.gpus(side).values()) for side in (before, after)]
    return _to(*gpus), _to(pricing.month(before), pricing.month(after))


def _money(plan: Plan) -> Iterator[str]:
    told = money(plan)
    if told is None:
        return
    gpus, month = told
    before, after = plan.pools(after=False), plan.pools(after=True)
    counted = "" if plan.whole else " (of the pools that change; the others are not in this record)"
    was, is_, new = pricing.gpus(before), pricing.gpus(after), pricing.month(after)
    yield f"GPUs: {gpus}{counted}"
    for key in sorted({*was, *is_}):
        region, model, had_by = key
        old, of_it = was.get(key, pricing.NOTHING), is_.get(key, pricing.NOTHING)
        if old != of_it:
            yield f"{model} in {region}, {_way(had_by)}: {_to(old, of_it)}"
    yield f"a month of GPU nodes at list price ({pricing.HOURS} h): {month}{counted}"
    if new.unknown:
        without = (f"{pool.name} ({pool.machine}, {_way(pool.had_by)})" for pool in new.unknown)
        yield f"price unknown, and not in the sum: {_names(without)}"
    prices = {price for pool in new.priced if (price := pool.price) is not None and pool.high}
    for price in sorted(prices, key=lambda each: (each.region, each.as_of)):
        elsewhere = sorted({pool.region for pool in new.priced if pool.high and pool.price == price} - {price.region})
        yield f"prices of {price.region} on {price.as_of} ({price.source})" + (
            f", taken for {', '.join(elsewhere)} too" if elsewhere else ""
        )
    yield "not counted, because their prices are not known here: nodes without GPUs, disks, Redis, entrance, traffic"
    yield from _quota(was, is_)


def _quota(was: Mapping[tuple[str, str, str], Range], is_: Mapping[tuple[str, str, str], Range]) -> Iterator[str]:
    more = False
    for key in sorted(is_):
        region, model, had_by = key
        old, new = was.get(key, pricing.NOTHING).high, is_[key].high
        if new is None or (old or 0) < new:
            more = True
            most = "an unknown number of" if new is None else f"{new:,.0f}"
            kind = {
                pricing.RESERVED: "; reserved ones took their quota when they were reserved",
                "spot": ", of the preemptible kind",
                "flex_start": ", of the preemptible kind",
            }.get(had_by, "")
            yield f"quota needed: {most} {model} in {region}{kind}"
    if not more:
        yield "quota needed: no more than before"


def _policies(plan: Plan) -> Iterator[str]:
    """What is mandatory first; resources of which one thing is said, together."""
    said: dict[tuple[bool, str, str, str], set[str]] = {}
    for each in plan.verdicts:
        key = (each.level != "mandatory", each.policy, each.level, each.message)
        said.setdefault(key, set()).add(each.resource)
    for (_, policy, level, message), resources in sorted(said.items()):
        on = f" ({_names(filter(None, resources))})" if any(resources) else ""
        yield f"{level}{' (`up` is refused)' if level == 'mandatory' else ''}: {policy}{on}: {message}"
    if plan.rules and plan.changes and not said:
        yield f"nothing against it: each resource was held against {len(plan.rules)} rules"


def _why(change: Change) -> str:
    """What forces it, without places in lists."""
    if change.type == NODE_POOL:
        old, new = pricing.pool("", change.old), pricing.pool("", change.new)
        told = [
            *([f"{_way(old.had_by)} before, {_way(new.had_by)} after"] if old.had_by != new.had_by else []),
            *([f"{old.machine} before, {new.machine} after"] if old.machine != new.machine else []),
        ]
        if told:
            return ", ".join(told)
    return ", ".join(dict.fromkeys(re.sub(r"\[\d+\]", "", path) for path in change.forced_by)) or "for what it needs"


def _way(had_by: str) -> str:
    return {"reservation": "reserved", "on_demand": "on demand", "flex_start": "by flex-start"}.get(had_by, had_by)


def _most(pool: Pool) -> str:
    most = [each.high for each in pricing.gpus([pool]).values()]
    return f"{most[0]:.0f}" if most and most[0] is not None else "an unknown number of"


def _to(old: object, new: object) -> str:
    if str(old) != str(new):
        return f"{old} -> {new}"
    return f"{new}, before and after" if "unknown" in str(new) else f"{new} as before"


def _names(names: Iterable[str]) -> str:
    every = sorted(names)
    return ", ".join(every[:NAMED]) + (f" and {len(every) - NAMED} more" if len(every) > NAMED else "")


def _words(name: str) -> str:
    """`ServiceAccount` -> service account; `IAMMember` -> IAM member."""
    parts = re.findall(r"I[Aa][Mm](?=[A-Z]|$)|[A-Z]+(?![a-z])|[A-Z][a-z]+", name) or [name]
    return " ".join("IAM" if part.upper() == "IAM" else part if part.isupper() else part.lower() for part in parts)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _opened(value: object, name: str = "") -> object:
    """Without anything secret: by the engine's mark, or by its name."""
    if isinstance(value, Mapping):
        inside = {"value": SECRET} if _is_secret(value) else {}
        return SECRET if SECRET_KEY in value else {k: _opened(each, k) for k, each in {**value, **inside}.items()}
    if isinstance(value, list):
        return [_opened(each, name) for each in value]
    return SECRET if isinstance(value, str) and SECRET_NAME.search(name) else value


def _is_secret(variable: Mapping[str, Any]) -> bool:
    """Of an environment variable in a pod."""
    return "value" in variable and bool(SECRET_NAME.search(str(variable.get("name"))))


if __name__ == "__main__":
    print(summary(read(Path(sys.argv[1]).read_text()), sys.argv[2] if len(sys.argv) > 2 else ""), end="")
