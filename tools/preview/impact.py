"""Consequences of a preview: destructive changes, and the effect of the other changes on requests."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Any

from config.google import pricing
from config.google.pricing import PricedNodePool
from policies import resource_types as types
from tools.preview.events import Operation, Preview, ResourceChange, changed
from tools.preview.secrets import SECRET
from tools.preview.text import capacity_label, join_names

LOSSES = {
    types.CLUSTER: "all that runs in it ends, and its region serves nothing",
    types.BUCKET: "the models in it are deleted",
    types.REDIS: "Ray's heads of the region forget what they know, and a head that ends takes its replicas with it",
    types.ADDRESS: "clients that know the address reach nothing",
    types.GLOBAL_ADDRESS: "clients that know the address reach nothing",
    types.DNS_ZONE: "every name in it stops being answered",
    types.GATEWAY: "no request gets in by it",
    types.HTTP_ROUTE: "what it routed is answered with 404",
    types.KMS_KEY: "what it encrypted cannot be read again",
    types.KMS_KEY_RING: "what its keys encrypted cannot be read again",
}
"""Type whose loss is serious -> consequence."""
NODE_CONFIG_IN_PLACE = ("labels", "taints", "resourceLabels", "tags")
"""Fields of `nodeConfig` that GKE changes on existing nodes."""
WORKER_GROUP_SIZE = ("replicas", "minReplicas", "maxReplicas")
"""Fields of a worker group that KubeRay leaves out of its hash of the pods."""
AUTOSCALING_BOUNDS = ("min_replicas", "max_replicas", "initial_replicas")
"""Fields of Ray Serve's autoscaling_config that count replicas."""


class PodChange(Enum):
    """KubeRay's reaction to a changed `rayClusterConfig`."""

    NONE = auto()
    BOUNDS_ONLY = auto()
    """Only sizes of worker groups differ. KubeRay does not change the RayCluster."""
    GROUP_ADDED = auto()
    """KubeRay adds a worker group to the running RayCluster."""
    NOT_APPLIED = auto()
    """upgradeStrategy None forbids a second RayCluster."""
    SECOND_RAY_CLUSTER = auto()
    """KubeRay starts a second RayCluster and moves the traffic to it."""


def destructive_changes(preview: Preview) -> Iterator[str]:
    """Yield the changes that cannot be undone."""
    for change in changed(preview):
        if change.type in LOSSES and change.operation in (Operation.REPLACED, Operation.DESTROYED):
            refused = " It is protected: the engine refuses this." if change.was_protected else ""
            why = f" (because of its {', '.join(change.replace_keys)})" if change.replace_keys else ""
            done = "DESTROYED" if change.operation is Operation.DESTROYED else "DESTROYED AND MADE AGAIN"
            comes_back = (change.type, change.operation) == (types.CLUSTER, Operation.REPLACED)
            end = " until it is there again and its models answer" if comes_back else ""
            yield f"{change.title} is {done}{why}: {LOSSES[change.type]}{end}.{refused}"
    bare = [c for c in preview.changes if c.type in LOSSES and c.was_protected and not c.is_protected and c.new]
    if bare:
        yield f"PROTECTION IS TAKEN OFF {join_names(c.title for c in bare)}: a later edit can destroy them."


def request_impact(preview: Preview) -> Iterator[str]:
    """Yield the effects on requests, by resource."""
    lost = (Operation.REPLACED, Operation.DESTROYED)
    clusters = {c.region for c in preview.changes if c.type == types.CLUSTER and c.operation in lost}
    new = {c.region for c in preview.changes if c.type == types.RAY_SERVICE and c.operation is Operation.CREATED}
    for change in changed(preview):
        if change.type == types.NODE_POOL and change.region not in clusters:
            yield from _node_pool(change)
        elif change.type == types.RAY_SERVICE:
            yield from _ray_service(change, preview)
        elif change.operation is Operation.UPDATED:
            yield from _in_place(change)
        elif change.type == types.SERVICE_EXPORT and change.operation in (Operation.CREATED, Operation.DESTROYED):
            back = "takes requests" if change.region in new else "takes requests again"
            effect = back if change.operation is Operation.CREATED else "takes no new requests"
            yield f"{change.region} {effect} for {_mapping((change.new or change.old).get('metadata')).get('name')}."
        elif change.type == types.DNS_RECORD and change.operation is Operation.REPLACED:
            yield f"DNS record {change.name} is deleted, then made: the hostname has no answer in between."
    if {change.operation for change in changed(preview)} == {Operation.CREATED}:
        yield "Nothing that there is already is touched."


def pod_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> PodChange:
    """Return KubeRay's reaction to a change from one RayService spec to another.

    KubeRay compares a hash of `rayClusterConfig` that leaves out the sizes of worker groups
    (ray-project/kuberay, utils.GenerateHashWithoutReplicasAndWorkersToDelete).
    """
    was, is_ = _mapping(old.get("rayClusterConfig")), _mapping(new.get("rayClusterConfig"))
    if was == is_:
        return PodChange.NONE
    if _hashed(was) == _hashed(is_):
        return PodChange.BOUNDS_ONLY
    if _adds_groups(was, is_):
        return PodChange.GROUP_ADDED
    return PodChange.NOT_APPLIED if _upgrade_type(new) == "None" else PodChange.SECOND_RAY_CLUSTER


def _node_pool(change: ResourceChange) -> Iterator[str]:
    if change.operation is Operation.CREATED:
        return
    old = PricedNodePool.from_inputs(change.name, change.old)
    had = f"up to {_max_gpus(old)} GPUs" if old.gpu_model else "the nodes of Ray's heads"
    if change.operation is Operation.DESTROYED:
        yield f"{change.title} goes: replicas on it end, and {change.region} has {had} fewer."
    elif change.operation is Operation.REPLACED:
        yield (
            f"{change.title} is deleted, then made again ({_why(change)}): replicas on it end, and {change.region} is "
            f"without {had} until new nodes have come."
        )
    else:
        yield from _node_pool_size(change, old, PricedNodePool.from_inputs(change.name, change.new))
        fields = {path.split(".")[1] for path in change.diff_kinds if path.startswith("nodeConfig.")}
        if again := sorted(fields - set(NODE_CONFIG_IN_PLACE)):
            yield (
                f"{change.title}: GKE makes its nodes again, one after the other ({', '.join(again)}); what runs on a "
                f"node moves or ends with it."
            )


def _node_pool_size(change: ResourceChange, old: PricedNodePool, new: PricedNodePool) -> Iterator[str]:
    """Yield the effect of nodes that an updated pool gains or loses."""
    if gone := sorted(set(_zones(change.old)) - set(_zones(change.new))):
        yield f"{change.title}: its nodes in {', '.join(gone)} go, and the replicas on them end."
    elif old.max_nodes is None or new.max_nodes is None or old.max_nodes == new.max_nodes:
        return
    elif new.max_nodes > old.max_nodes:
        come = f"there may be up to {new.max_nodes} nodes" if "autoscaling" in change.new else "nodes are added"
        yield f"{change.title}: {come}; no request is touched."
    elif "autoscaling" in change.new:
        yield (
            f"{change.title}: there may be no more than {new.max_nodes} nodes; those above go when the autoscaler "
            f"finds nothing running on them."
        )
    else:
        yield (
            f"{change.title}: GKE takes nodes away until it has {new.max_nodes}: replicas on the others end, and come "
            f"back only where GPUs are free."
        )


def _in_place(change: ResourceChange) -> Iterator[str]:
    """Yield the effect of updates to other resources that clients or Ray may notice."""
    if change.type == types.REDIS and "memorySizeGb" in change.diff_kinds:
        loses = change.new.get("tier") == "BASIC"
        then = LOSSES[types.REDIS] if loses else "it is away for up to a minute, and requests are answered meanwhile"
        yield f"{change.title} is scaled{', and a BASIC one is emptied by that' if loses else ''}: {then}."
    elif change.type == types.CLUSTER and {"minMasterVersion", "releaseChannel.channel"} & set(change.diff_kinds):
        yield (
            f"{change.title}: GKE upgrades the control plane, which no request goes through; its nodes follow in their "
            f"maintenance windows, one after the other, and what runs on a node moves or ends with it."
        )


def _ray_service(change: ResourceChange, preview: Preview) -> Iterator[str]:
    where = f"{change.title} in {change.region}"
    if change.operation is Operation.CREATED:
        return
    if change.operation is Operation.DESTROYED:
        yield f"{where} goes: its model is served there no more."
        return
    if change.operation is Operation.REPLACED:
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
    pods = pod_change(old, new)
    yield from _pods(where, pods, new, _room(change.region, preview, new))
    if pods is not PodChange.SECOND_RAY_CLUSTER:  # that one starts with the new Serve configuration
        yield from _serve_config(where, old.get("serveConfigV2"), new.get("serveConfigV2"))


def _pods(where: str, change: PodChange, new: Mapping[str, Any], room: str) -> Iterator[str]:
    match change:
        case PodChange.BOUNDS_ONLY:
            yield f"{where}: only bounds of worker groups change, which KubeRay leaves alone: this edit does nothing."
        case PodChange.GROUP_ADDED:
            yield f"{where}: a group of workers is added to the RayCluster that there is; no request is touched."
        case PodChange.NOT_APPLIED:
            yield f"{where}: its pods change, and KubeRay is told to make no second RayCluster: this edit does nothing."
        case PodChange.SECOND_RAY_CLUSTER:
            low, high = _worker_gpus(_mapping(new.get("rayClusterConfig")))
            needs = "an unknown number of" if low is None else str(low) if low == high else f"{low} to {high}"
            yield (
                f"{where}: A SECOND SET OF GPUs IS NEEDED ({_upgrade_type(new)}): new pods come up as a second "
                f"RayCluster beside the first, with {needs} GPUs more until they answer; then requests move over and "
                f"the first one goes.{room} Without these GPUs the second one waits, and the first one serves on."
            )
        case PodChange.NONE:
            pass


def _room(region: str, preview: Preview, second: Mapping[str, Any]) -> str:
    """Return whether the region's node pools hold a second RayCluster of spec `second` beside all existing ones.

    Return an empty text if a number is unknown, or if the pools have different GPUs.
    """
    own = [pool for pool in preview.node_pools(after=True) if pool.region == region and pool.gpu_model is not None]
    services = (c.old for c in preview.changes if c.type == types.RAY_SERVICE and c.region == region and c.old)
    specs = [_mapping(inputs.get("spec")) for inputs in services]
    sizes = [_worker_gpus(_mapping(spec.get("rayClusterConfig"))) for spec in [second, *specs]]
    have = pricing.total(pricing.gpu_counts(own).values()).high
    known = [(low, high) for low, high in sizes if low is not None and high is not None]
    if have is None or len({pool.gpu_model for pool in own}) != 1 or len(known) < len(sizes):
        return ""
    most = sum(high for _, high in known)
    if most <= have:
        return f" The pools of {region} have room for both: up to {have:.0f} GPUs."
    fewest = sum(low for low, _ in known)
    enough = "ENOUGH ONLY WHILE FEW REPLICAS RUN" if fewest <= have else "NOT ENOUGH"
    both = f"{fewest} to {most}" if fewest != most else f"{most}"
    return f" The pools of {region} have up to {have:.0f} GPUs, and both take {both}: {enough}."


def _serve_config(where: str, old: object, new: object) -> Iterator[str]:
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
    bounds = [key for key in keys if key in AUTOSCALING_BOUNDS]
    note = " Bounds of autoscaling are an argument of the deployment, so they count, too." if bounds else ""
    yield (
        f"{where}: EVERY REPLICA IS REPLACED, one after the other ({', '.join(keys)}): each ends its answers first, "
        f"and where no GPU is free there is one replica less at each step.{note}"
    )


def _upgrade_type(spec: Mapping[str, Any]) -> str:
    return _mapping(spec.get("upgradeStrategy")).get("type", "NewCluster")


def _hashed(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of `rayClusterConfig` that KubeRay hashes to see whether pods change."""
    groups = [
        {key: value for key, value in _mapping(group).items() if key not in WORKER_GROUP_SIZE}
        for group in config.get("workerGroupSpecs") or []
    ]
    return {**config, "workerGroupSpecs": groups}


def _adds_groups(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    was, is_ = _hashed(old), _hashed(new)
    groups, all_groups = was["workerGroupSpecs"], is_["workerGroupSpecs"]
    return len(all_groups) > len(groups) and was == {**is_, "workerGroupSpecs": all_groups[: len(groups)]}


def _worker_gpus(config: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the GPUs of the fewest and of the most worker pods; None if a number is unknown."""
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


def _why(change: ResourceChange) -> str:
    """Return the reason of a replacement: the inputs that force it, without indexes of lists."""
    if change.type == types.NODE_POOL:
        old, new = (PricedNodePool.from_inputs("", side) for side in (change.old, change.new))
        kinds = (capacity_label(old.capacity_kind), capacity_label(new.capacity_kind))
        found = [
            *([f"{kinds[0]} before, {kinds[1]} after"] if kinds[0] != kinds[1] else []),
            *([f"{old.machine_type} before, {new.machine_type} after"] if old.machine_type != new.machine_type else []),
        ]
        if found:
            return ", ".join(found)
    return ", ".join(dict.fromkeys(re.sub(r"\[\d+\]", "", path) for path in change.replace_keys)) or "for what it needs"


def _max_gpus(pool: PricedNodePool) -> str:
    most = [each.high for each in pricing.gpu_counts([pool]).values()]
    return f"{most[0]:.0f}" if most and most[0] is not None else "an unknown number of"


def _zones(inputs: Mapping[str, Any]) -> Sequence[str]:
    zones = inputs.get("nodeLocations")
    return [zone for zone in zones if isinstance(zone, str)] if isinstance(zones, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
