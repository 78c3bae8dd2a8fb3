"""Data: keep what cannot be restored, and keep other readers out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.base import PROTECT, Policy
from policies.inputs import UNKNOWN, at, require
from policies.resource_types import BUCKET, CLUSTER, REDIS

STATEFUL = (CLUSTER, BUCKET, REDIS)


def _deletion_protection(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `deletionPolicy` and `deletionProtection`."""
    yield from require(
        "deletionPolicy",
        value="PREVENT",
        message="The provider may delete this resource. Set deletionPolicy: PREVENT (infra.protect: true sets it).",
    )(inputs)
    if inputs.get("deletionProtection") is False:
        yield "Deletion protection is off. Set deletionProtection: true (infra.protect: true sets it)."


def _recoverable_objects(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `forceDestroy` and `softDeletePolicy.retentionDurationSeconds` of a bucket."""
    if inputs.get("forceDestroy") is True:
        yield "Deleting the bucket also deletes the weights in it. Set forceDestroy: false."
    if at(inputs, "softDeletePolicy.retentionDurationSeconds") == 0:
        yield (
            "Soft delete is off, so Cloud Storage cannot restore a deleted object. Set "
            "softDeletePolicy.retentionDurationSeconds: 604800 (one week) or more."
        )


def _public_access(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `publicAccessPrevention` and `uniformBucketLevelAccess` of a bucket."""
    if inputs.get("publicAccessPrevention") not in ("enforced", UNKNOWN):
        yield "An IAM grant can make the bucket public. Set publicAccessPrevention: enforced."
    if inputs.get("uniformBucketLevelAccess") is False:
        yield "Each object can have an access list of its own. Set uniformBucketLevelAccess: true."


POLICIES = (
    Policy(
        "stateful-deletion-protection",
        "high",
        "One wrong edit deletes a cluster, the Redis state of Ray's heads or the model weights.",
        STATEFUL,
        _deletion_protection,
    ),
    Policy(
        "stateful-pulumi-protect",
        "high",
        "Pulumi deletes a cluster, the Redis of Ray's heads or the model bucket when an edit removes it.",
        STATEFUL,
        require(
            PROTECT,
            value=True,
            message="Pulumi may delete or replace this resource. Set protect=True in its ResourceOptions "
            "(infra.protect: true sets it).",
        ),
    ),
    Policy(
        "bucket-recoverable-objects",
        "high",
        "Cloud Storage deletes the model weights and cannot restore them.",
        [BUCKET],
        _recoverable_objects,
    ),
    Policy(
        "bucket-no-public-access",
        "critical",
        "Anyone on the internet can download the model weights.",
        [BUCKET],
        _public_access,
    ),
    Policy(
        "redis-auth-enabled",
        "high",
        "Every host in the network can read and change the state of Ray's heads.",
        [REDIS],
        require("authEnabled", value=True, message="Redis does not ask for a password. Set authEnabled: true."),
    ),
    Policy(
        "redis-high-availability",
        "high",
        "One failed Redis node, or one update of Redis, loses the state of Ray's heads.",
        [REDIS],
        require("tier", value="STANDARD_HA", message="Redis has one node and no replica. Set tier: STANDARD_HA."),
    ),
)
