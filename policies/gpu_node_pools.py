"""GPUs: a pool that costs by the hour serves, nothing else runs on it, and what it asks for exists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.base import Policy
from policies.inputs import UNKNOWN, at, each, number
from policies.resource_types import CLUSTER, NODE_POOL

TAINT = "nvidia.com/gpu"
GPU_MACHINES = re.compile(r"(a[2-9]x?|g[2-9])-")
"""Google's accelerator-optimized families: they come with GPUs, whether guestAccelerators says so or not."""
AFFINITY = "nodeConfig.reservationAffinity"


def has_gpus(inputs: Mapping[str, Any]) -> bool:
    """Of a node pool."""
    machine = str(at(inputs, "nodeConfig.machineType"))
    return bool(each(inputs, "nodeConfig.guestAccelerators") or GPU_MACHINES.match(machine))


def _reserved(inputs: Mapping[str, Any]) -> bool:
    """By name; who takes anybody's is told so by `gpu-any-reservation`."""
    return at(inputs, f"{AFFINITY}.consumeReservationType") in ("SPECIFIC_RESERVATION", "ANY_RESERVATION", UNKNOWN)


def _least(inputs: Mapping[str, Any]) -> float:
    paths = ("nodeCount", "initialNodeCount", "autoscaling.totalMinNodeCount", "autoscaling.minNodeCount")
    scaled = at(inputs, "autoscaling") is not None  # a scaled pool's nodeCount is what it has now
    return max((number(inputs, path) or 0 for path in (paths[1:] if scaled else paths)), default=0)


def _untainted(inputs: Mapping[str, Any]) -> Iterator[str]:
    written = at(inputs, "nodeConfig.taints")
    taints = {at(taint, "key"): at(taint, "effect") for taint in each(inputs, "nodeConfig.taints")}
    if (
        has_gpus(inputs)
        and UNKNOWN not in (written, *taints)
        and taints.get(TAINT) not in ("NO_SCHEDULE", "NO_EXECUTE", UNKNOWN)
    ):
        yield f"Any pod may take a node with GPUs: write a taint {TAINT}=present:NO_SCHEDULE."


def _unbounded(inputs: Mapping[str, Any]) -> Iterator[str]:
    most = at(inputs, "autoscaling.totalMaxNodeCount") or at(inputs, "autoscaling.maxNodeCount")
    if has_gpus(inputs) and not most and at(inputs, "nodeCount") is None:
        yield "Nothing bounds the pool: write nodeCount, or autoscaling with totalMaxNodeCount."


def _any_reservation(inputs: Mapping[str, Any]) -> Iterator[str]:
    if at(inputs, f"{AFFINITY}.consumeReservationType") == "ANY_RESERVATION" and has_gpus(inputs):
        yield "The pool takes anybody's reservation, or pays on demand: write SPECIFIC_RESERVATION and its name."


def _idle(inputs: Mapping[str, Any]) -> Iterator[str]:
    if has_gpus(inputs) and not _reserved(inputs) and (least := _least(inputs)) > 0:
        yield (
            f"It has {least:g} nodes that no reservation promised and nobody need be using: write autoscaling with "
            "totalMinNodeCount: 0, and let pods bring the nodes."
        )


def _contradicts(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Google refuses these after minutes, or the pool never gets a node (GoogleCloudPlatform/cluster-toolkit,
    gke-node-pool). Settings refuse them of this stack's own pools."""
    spot, flex = (at(inputs, f"nodeConfig.{name}") is True for name in ("spot", "flexStart"))
    queued = at(inputs, "queuedProvisioning.enabled") is True
    reserved = at(inputs, f"{AFFINITY}.consumeReservationType") == "SPECIFIC_RESERVATION"
    ways = [name for name, given in (("spot", spot), ("flexStart", flex), ("a reservation", reserved)) if given]
    if len(ways) > 1:
        yield f"Nodes are had by {' and '.join(ways)} at once: write one of them."
    if reserved and at(inputs, f"{AFFINITY}.values") in (None, []):
        yield "A reservation is asked for by no name: write nodeConfig.reservationAffinity.values."
    if flex and at(inputs, "management.autoRepair") not in (False, UNKNOWN):
        yield "Flex-start nodes cannot be repaired: write management.autoRepair: false."
    if flex and at(inputs, "autoscaling") is None:
        yield "Flex-start brings nodes for pods only: write autoscaling, and no nodeCount."
    if queued and (spot or reserved or _least(inputs) > 0):
        yield "Queued provisioning takes neither spot, nor a reservation, nor nodes to begin with: leave it out."
    if at(inputs, "autoscaling") is not None and (number(inputs, "nodeCount") or 0) > 0:
        yield "nodeCount and autoscaling both say how many: write one of them."
    yield from _compact(inputs, queued)


def _compact(inputs: Mapping[str, Any], queued: bool) -> Iterator[str]:
    if at(inputs, "placementPolicy.type") != "COMPACT":
        return
    if len(each(inputs, "nodeLocations")) != 1 and at(inputs, "nodeLocations") != UNKNOWN:
        yield "Compact placement is in one zone: write one in nodeLocations."
    if at(inputs, "upgradeSettings.strategy") == "BLUE_GREEN" or queued:
        yield "Compact placement takes neither blue-green upgrades nor queued provisioning: write SURGE."


def _unseen(inputs: Mapping[str, Any]) -> Iterator[str]:
    if each(inputs, "nodePools"):
        yield "Pools inside a Cluster escape the policies for pools: write each as a NodePool."
    if at(inputs, "clusterAutoscaling.enabled") is True:
        yield "GKE makes pools by itself, as large as it likes: leave clusterAutoscaling out and write NodePools."
    if inputs.get("removeDefaultNodePool") not in (True, UNKNOWN) and inputs.get("enableAutopilot") is not True:
        yield "GKE's first pool stays, on machines that nobody chose: write removeDefaultNodePool: true."


POLICIES = (
    Policy("nodepool-gpu-taint", "high", "Pods without a GPU keep GPUs busy.", [NODE_POOL], _untainted),
    Policy("nodepool-gpu-max-nodes", "high", "One wrong number buys machines without end.", [NODE_POOL], _unbounded),
    Policy(
        "nodepool-specific-reservation", "medium", "GPUs come from the wrong budget.", [NODE_POOL], _any_reservation
    ),
    Policy(
        "nodepool-no-idle-gpus",
        "high",
        "GPUs are paid for while nobody asks, or `up` waits for them.",
        [NODE_POOL],
        _idle,
    ),
    Policy("nodepool-valid-capacity", "medium", "A pool that never gets a node.", [NODE_POOL], _contradicts),
    Policy("cluster-no-auto-provisioning", "high", "Machines that no policy has looked at.", [CLUSTER], _unseen),
)
