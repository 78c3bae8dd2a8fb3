"""GPU node pools: keep other pods off, bound the cost, and refuse settings that never get a node."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.base import Policy
from policies.inputs import UNKNOWN, at, each, number
from policies.resource_types import CLUSTER, NODE_POOL

GPU_TAINT = "nvidia.com/gpu"
GPU_MACHINE_FAMILIES = re.compile(r"(a[2-9]x?|g[2-9])-")
"""Google's accelerator-optimized families. Their machine types have GPUs even if guestAccelerators is empty."""
RESERVATION = "nodeConfig.reservationAffinity"


def has_gpus(inputs: Mapping[str, Any]) -> bool:
    """Return True if nodes of the pool have GPUs (`nodeConfig.guestAccelerators`, `nodeConfig.machineType`)."""
    machine_type = str(at(inputs, "nodeConfig.machineType"))
    return bool(each(inputs, "nodeConfig.guestAccelerators") or GPU_MACHINE_FAMILIES.match(machine_type))


def _is_reserved(inputs: Mapping[str, Any]) -> bool:
    """Return True for any reservation. `nodepool-specific-reservation` reports a pool that takes whichever matches."""
    return at(inputs, f"{RESERVATION}.consumeReservationType") in ("SPECIFIC_RESERVATION", "ANY_RESERVATION", UNKNOWN)


def _min_nodes(inputs: Mapping[str, Any]) -> float:
    """Return the greatest number of nodes that the pool always has or starts with."""
    paths = ["initialNodeCount", "autoscaling.totalMinNodeCount", "autoscaling.minNodeCount"]
    if at(inputs, "autoscaling") is None:  # with autoscaling, nodeCount is the current size
        paths.append("nodeCount")
    return max(number(inputs, path) or 0 for path in paths)


def _gpu_taint(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `nodeConfig.taints` of a pool with GPUs."""
    value = at(inputs, "nodeConfig.taints")
    taints = {at(taint, "key"): at(taint, "effect") for taint in each(inputs, "nodeConfig.taints")}
    if (
        has_gpus(inputs)
        and UNKNOWN not in (value, *taints)
        and taints.get(GPU_TAINT) not in ("NO_SCHEDULE", "NO_EXECUTE", UNKNOWN)
    ):
        yield f"Kubernetes can schedule any pod on the pool. Add {GPU_TAINT}=present:NO_SCHEDULE to nodeConfig.taints."


def _max_nodes(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check that `nodeCount` or `autoscaling` limits a pool with GPUs."""
    maximum = at(inputs, "autoscaling.totalMaxNodeCount") or at(inputs, "autoscaling.maxNodeCount")
    if has_gpus(inputs) and not maximum and at(inputs, "nodeCount") is None:
        yield "The pool has no maximum size. Set nodeCount, or autoscaling with totalMaxNodeCount."


def _specific_reservation(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `nodeConfig.reservationAffinity` of a pool with GPUs."""
    if at(inputs, f"{RESERVATION}.consumeReservationType") == "ANY_RESERVATION" and has_gpus(inputs):
        yield (
            "The pool uses any matching reservation, and on-demand VMs if there is none. Set consumeReservationType: "
            "SPECIFIC_RESERVATION and the reservation's name."
        )


def _idle_gpus(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check the minimum size of a pool with GPUs and without a reservation."""
    if has_gpus(inputs) and not _is_reserved(inputs) and (minimum := _min_nodes(inputs)) > 0:
        nodes = "1 node" if minimum == 1 else f"{minimum:g} nodes"
        yield (
            f"The pool always keeps {nodes} without a reservation, so you pay for idle GPUs. Set "
            "autoscaling.totalMinNodeCount: 0, without nodeCount and initialNodeCount; the autoscaler adds nodes when "
            "pods need them."
        )


def _valid_capacity(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check that the settings of a pool's capacity work together (GoogleCloudPlatform/cluster-toolkit, gke-node-pool).

    Google refuses such a pool after minutes, or the pool never gets a node. config/ refuses the same settings for the
    pools of this stack.
    """
    spot, flex_start = (at(inputs, f"nodeConfig.{name}") is True for name in ("spot", "flexStart"))
    queued = at(inputs, "queuedProvisioning.enabled") is True
    reserved = at(inputs, f"{RESERVATION}.consumeReservationType") == "SPECIFIC_RESERVATION"
    options = {"spot": spot, "flexStart": flex_start, "a reservation": reserved}
    chosen = [name for name, is_set in options.items() if is_set]
    if len(chosen) > 1:
        yield f"The pool combines {' and '.join(chosen)}, which exclude each other. Set one of them."
    if reserved and at(inputs, f"{RESERVATION}.values") in (None, []):
        yield "The pool uses a specific reservation and names none. Set nodeConfig.reservationAffinity.values."
    if flex_start and at(inputs, "management.autoRepair") not in (False, UNKNOWN):
        yield "GKE cannot repair flex-start nodes. Set management.autoRepair: false."
    if flex_start and at(inputs, "autoscaling") is None:
        yield "Flex-start adds nodes only for pods that wait. Set autoscaling and remove nodeCount."
    if queued and (spot or reserved or _min_nodes(inputs) > 0):
        yield (
            "Queued provisioning works neither with spot, nor with a reservation, nor with initial nodes. Remove "
            "queuedProvisioning."
        )
    if at(inputs, "autoscaling") is not None and (number(inputs, "nodeCount") or 0) > 0:
        yield "nodeCount and autoscaling both set the number of nodes. Remove one of them."
    yield from _compact_placement(inputs, queued)


def _compact_placement(inputs: Mapping[str, Any], queued: bool) -> Iterator[str]:
    if at(inputs, "placementPolicy.type") != "COMPACT":
        return
    if len(each(inputs, "nodeLocations")) != 1 and at(inputs, "nodeLocations") != UNKNOWN:
        yield "Compact placement works in one zone only. Set one zone in nodeLocations."
    if at(inputs, "upgradeSettings.strategy") == "BLUE_GREEN" or queued:
        yield (
            "Compact placement works neither with blue-green upgrades nor with queued provisioning. Set "
            "upgradeSettings.strategy: SURGE and remove queuedProvisioning."
        )


def _auto_provisioning(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `nodePools`, `clusterAutoscaling` and `removeDefaultNodePool` of a Cluster."""
    if each(inputs, "nodePools"):
        yield "Policies do not see the node pools inside a Cluster. Declare each one as a NodePool."
    if at(inputs, "clusterAutoscaling.enabled") is True:
        yield (
            "GKE creates node pools by itself, of a size that no policy checks. Remove clusterAutoscaling and declare "
            "NodePools."
        )
    if inputs.get("removeDefaultNodePool") not in (True, UNKNOWN) and inputs.get("enableAutopilot") is not True:
        yield "GKE's default node pool stays, with a default machine type. Set removeDefaultNodePool: true."


POLICIES = (
    Policy(
        "nodepool-gpu-taint",
        "high",
        "Kubernetes schedules pods that need no GPU on GPU nodes and keeps these nodes running.",
        [NODE_POOL],
        _gpu_taint,
    ),
    Policy(
        "nodepool-gpu-max-nodes",
        "high",
        "One wrong number makes GKE create GPU nodes without a limit.",
        [NODE_POOL],
        _max_nodes,
    ),
    Policy(
        "nodepool-specific-reservation",
        "medium",
        "GKE uses up the reservation of another team, or creates on-demand nodes.",
        [NODE_POOL],
        _specific_reservation,
    ),
    Policy(
        "nodepool-no-idle-gpus",
        "high",
        "You pay for GPUs without requests, or `pulumi up` waits for nodes that Google does not have.",
        [NODE_POOL],
        _idle_gpus,
    ),
    Policy(
        "nodepool-valid-capacity",
        "medium",
        "Google refuses the node pool after minutes, or the pool never gets a node.",
        [NODE_POOL],
        _valid_capacity,
    ),
    Policy(
        "cluster-no-auto-provisioning",
        "high",
        "GKE creates nodes that no policy checks.",
        [CLUSTER],
        _auto_provisioning,
    ),
)
