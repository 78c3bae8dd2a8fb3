"""Data: what cannot be had back once it is gone, and who else may read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.base import PROTECT, Policy
from policies.inputs import UNKNOWN, at, require
from policies.resource_types import BUCKET, CLUSTER, REDIS

KEPT = (CLUSTER, BUCKET, REDIS)


def _deletable(inputs: Mapping[str, Any]) -> Iterator[str]:
    yield from require(
        "deletionPolicy",
        right="PREVENT",
        sentence="Nothing keeps it from being deleted: write deletionPolicy: PREVENT (infra.protect: true).",
    )(inputs)
    if inputs.get("deletionProtection") is False:
        yield "Google may delete it: write deletionProtection: true (infra.protect: true)."


def _gone_at_once(inputs: Mapping[str, Any]) -> Iterator[str]:
    if inputs.get("forceDestroy") is True:
        yield "Deleting the bucket deletes the weights in it: write forceDestroy: false."
    if at(inputs, "softDeletePolicy.retentionDurationSeconds") == 0:
        yield "What is deleted is gone at once: write softDeletePolicy.retentionDurationSeconds, a week or more."


def _public(inputs: Mapping[str, Any]) -> Iterator[str]:
    if inputs.get("publicAccessPrevention") not in ("enforced", UNKNOWN):
        yield "The bucket may be made public: write publicAccessPrevention: enforced."
    if inputs.get("uniformBucketLevelAccess") is False:
        yield "Each object may have readers of its own: write uniformBucketLevelAccess: true."


POLICIES = (
    Policy(
        "stateful-deletion-protection",
        "high",
        "One mistaken edit deletes a cluster, its heads' state or the weights.",
        KEPT,
        _deletable,
    ),
    Policy(
        "stateful-pulumi-protect",
        "high",
        "Pulumi deletes a cluster, its heads' state or the weights, and asks nobody.",
        KEPT,
        require(
            PROTECT,
            right=True,
            sentence="Pulumi may delete or replace it: write protect=True in its options (infra.protect: true).",
        ),
    ),
    Policy("bucket-recoverable-objects", "high", "Weights are deleted with the bucket.", [BUCKET], _gone_at_once),
    Policy("bucket-no-public-access", "critical", "Weights can be shared with the internet.", [BUCKET], _public),
    Policy(
        "redis-auth-enabled",
        "high",
        "Whoever reaches the network reads and changes the state of Ray's heads.",
        [REDIS],
        require("authEnabled", right=True, sentence="Redis asks for no password: write authEnabled: true."),
    ),
    Policy(
        "redis-high-availability",
        "high",
        "One failed node or one update loses the state of Ray's heads.",
        [REDIS],
        require("tier", right="STANDARD_HA", sentence="Redis has one node: write tier: STANDARD_HA."),
    ),
)
