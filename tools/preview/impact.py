"""Consequences of a preview: destructive changes, and the effect of the other changes on requests."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Any

from config.google import pricing
from config.google.pricing import PricedNodePool
from policies import resource_types as types
from tools.preview.events import Operation, Preview, ResourceChange, changed
from tools.preview.secrets import SECRET
from tools.preview.text import because, capacity_label, join_names

LOSSES = {
    types.CLUSTER: "Everything in it ends, and its region serves no request",
    types.BUCKET: "The models in it are lost",
    types.REDIS: "The region's Ray heads lose their stored state, so a head that ends also ends its replicas",
    types.ADDRESS: "Clients that use this address get no answer",
    types.GLOBAL_ADDRESS: "Clients that use this address get no answer",
    types.DNS_ZONE: "No name in it resolves",
    types.GATEWAY: "No request reaches the models through it",
    types.HTTP_ROUTE: "Requests that it matched get status 404",
    types.KMS_KEY: "Data that it encrypted cannot be decrypted any more",
    types.KMS_KEY_RING: "Data that its keys encrypted cannot be decrypted any more",
}
"""Type whose loss is serious -> consequence, as a sentence without its full stop."""
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
            refused = " It is protected, so Pulumi refuses." if change.was_protected else ""
            why = f", {because(change.replace_keys)}" if change.replace_keys else ""
            done = "DESTROYED" if change.operation is Operation.DESTROYED else "DESTROYED AND CREATED AGAIN"
            is_back = (change.type, change.operation) == (types.CLUSTER, Operation.REPLACED)
            end = " until the new cluster's models answer" if is_back else ""
            yield f"{change.title} is {done}{why}. {LOSSES[change.type]}{end}.{refused}"
    unprotected = [c for c in preview.changes if c.type in LOSSES and c.was_protected and not c.is_protected and c.new]
    if unprotected:
        yield f"PROTECTION IS REMOVED from {join_names(c.title for c in unprotected)}. A later change can destroy them."


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
            receives = "receives requests" if change.region in new else "receives requests again"
            effect = receives if change.operation is Operation.CREATED else "receives no new requests"
            yield f"{change.region} {effect} for {_mapping((change.new or change.old).get('metadata')).get('name')}."
        elif change.type == types.DNS_RECORD and change.operation is Operation.REPLACED:
            yield f"{change.title} is deleted, then created again. Its name does not resolve in between."
    if {change.operation for change in changed(preview)} == {Operation.CREATED}:
        yield "No existing resource changes."


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
    nodes = f"up to {_max_gpus(old)} GPUs" if old.gpu_model else "the nodes of the Ray heads"
    if change.operation is Operation.DESTROYED:
        yield f"{change.title} is deleted. Replicas on it end, and {change.region} loses {nodes}."
    elif change.operation is Operation.REPLACED:
        yield (
            f"{change.title} is deleted, then created again, {_why(change)}. Replicas on it end, and {change.region} "
            f"is without {nodes} until the new nodes are ready."
        )
    else:
        yield from _node_pool_size(change, old, PricedNodePool.from_inputs(change.name, change.new))
        fields = {path.split(".")[1] for path in change.diff_kinds if path.startswith("nodeConfig.")}
        if recreated := sorted(fields - set(NODE_CONFIG_IN_PLACE)):
            yield (
                f"{change.title}: GKE recreates its nodes one at a time, {because(recreated)}. Pods on a node move to "
                f"another node or end."
            )


def _node_pool_size(change: ResourceChange, old: PricedNodePool, new: PricedNodePool) -> Iterator[str]:
    """Yield the effect of nodes that an updated pool gains or loses."""
    if gone := sorted(set(_zones(change.old)) - set(_zones(change.new))):
        yield f"{change.title}: GKE removes its nodes in {', '.join(gone)}, and the replicas on them end."
    elif old.max_nodes is None or new.max_nodes is None or old.max_nodes == new.max_nodes:
        return
    elif new.max_nodes > old.max_nodes:
        more = f"the maximum rises to {new.max_nodes} nodes" if "autoscaling" in change.new else "GKE adds nodes"
        yield f"{change.title}: {more}. No request is affected."
    elif "autoscaling" in change.new:
        yield (
            f"{change.title}: the maximum falls to {new.max_nodes} nodes. The autoscaler removes a node above it when "
            f"no replica runs on that node."
        )
    else:
        yield (
            f"{change.title}: GKE reduces the number of nodes to {new.max_nodes}. Replicas on the removed nodes end, "
            f"and start again only where GPUs are free."
        )


def _in_place(change: ResourceChange) -> Iterator[str]:
    """Yield the effect of updates to other resources that clients or Ray may notice."""
    if change.type == types.REDIS and "memorySizeGb" in change.diff_kinds:
        loses = change.new.get("tier") == "BASIC"
        effect = (
            f"A BASIC instance loses its data. {LOSSES[types.REDIS]}"
            if loses
            else "It is unavailable for up to a minute, and requests are still answered"
        )
        yield f"{change.title}: Google scales the instance. {effect}."
    elif change.type == types.CLUSTER and {"minMasterVersion", "releaseChannel.channel"} & set(change.diff_kinds):
        yield (
            f"{change.title}: GKE upgrades the control plane, which no request passes. Then it upgrades the nodes one "
            f"at a time, in their maintenance windows. Pods on a node move to another node or end."
        )


def _ray_service(change: ResourceChange, preview: Preview) -> Iterator[str]:
    where = f"{change.title} ({change.region})"
    if change.operation is Operation.CREATED:
        return
    if change.operation is Operation.DESTROYED:
        yield f"{where} is deleted. The region no longer serves its model."
        return
    if change.operation is Operation.REPLACED:
        first = (
            "It is protected. Set `traffic: drained` for its region first."
            if change.was_protected
            else "It is not protected. Check that its region is drained."
        )
        yield (
            f"{where} is deleted, then created again, {_why(change)}. The region does not serve its model until the "
            f"new replicas answer. {first}"
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
            yield f"{where}: no effect. Only sizes of worker groups change, and KubeRay does not apply those alone."
        case PodChange.GROUP_ADDED:
            yield f"{where}: KubeRay adds a worker group to the running RayCluster. No request is affected."
        case PodChange.NOT_APPLIED:
            yield f"{where}: no effect. Its pods change, and upgradeStrategy None forbids a second RayCluster."
        case PodChange.SECOND_RAY_CLUSTER:
            low, high = _worker_gpus(_mapping(new.get("rayClusterConfig")))
            needs = "AN UNKNOWN NUMBER OF" if low is None else str(low) if low == high else f"{low} TO {high}"
            yield (
                f"{where}: NEEDS {needs} MORE GPUs. KubeRay starts a second RayCluster ({_upgrade_type(new)}), moves "
                f"traffic to it when it is ready, then deletes the first.{room} If GPUs are missing, the second "
                f"cluster stays pending and the first keeps serving."
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
        return f" The node pools have up to {have:.0f} GPUs: enough for both clusters."
    fewest = sum(low for low, _ in known)
    enough = "enough only while few replicas run" if fewest <= have else "not enough"
    both = f"{fewest} to {most}" if fewest != most else f"{most}"
    return f" The node pools have up to {have:.0f} GPUs; both clusters need {both}: {enough}."


def _serve_config(where: str, old: object, new: object) -> Iterator[str]:
    if old == new:
        return
    if not isinstance(old, str) or not isinstance(new, str) or pricing.UNKNOWN in (old, new) or SECRET in (old, new):
        yield f"{where}: the Serve configuration may change. The preview does not know its new value yet."
        return
    lines = difflib.ndiff(old.splitlines(), new.splitlines())
    keys = sorted({line[2:].strip(" -").partition(":")[0] for line in lines if line[:1] in "+-"})
    if set(keys) <= {"num_replicas"}:
        yield f"{where}: Ray Serve adds or removes replicas. A removed replica finishes its requests first."
        return
    bounds = [key for key in keys if key in AUTOSCALING_BOUNDS]
    note = " Ray Serve does this for the bounds of autoscaling too: they are part of the deployment." if bounds else ""
    yield (
        f"{where}: Ray Serve replaces every replica, one at a time, {because(keys)}. Each replica finishes its "
        f"requests first. If no GPU is free, one replica fewer serves at each step.{note}"
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
    """Return the reason of a replacement: a node pool's capacity and machine type, or the inputs that force it."""
    if change.type == types.NODE_POOL:
        old, new = (PricedNodePool.from_inputs("", side) for side in (change.old, change.new))
        values = {
            "capacity": (capacity_label(old.capacity_kind), capacity_label(new.capacity_kind)),
            "machine type": (old.machine_type, new.machine_type),
        }
        differing = {name: pair for name, pair in values.items() if pair[0] != pair[1]}
        if differing:
            return "because " + " and ".join(
                f"its {name} changes from {before} to {after}" for name, (before, after) in differing.items()
            )
    return because(change.replace_keys) if change.replace_keys else "because a resource that it depends on is replaced"


def _max_gpus(pool: PricedNodePool) -> str:
    most = [each.high for each in pricing.gpu_counts([pool]).values()]
    return f"{most[0]:.0f}" if most and most[0] is not None else "an unknown number of"


def _zones(inputs: Mapping[str, Any]) -> Sequence[str]:
    zones = inputs.get("nodeLocations")
    return [zone for zone in zones if isinstance(zone, str)] if isinstance(zones, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
