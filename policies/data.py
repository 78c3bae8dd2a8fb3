"""Data: what cannot be had back once it is gone, and who else may read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.kit import BUCKET, CLUSTER, REDIS, Policy, must_be

KEPT = (CLUSTER, BUCKET, REDIS)


def _force(inputs: Mapping[str, Any]) -> Iterator[str]:
    if inputs.get("forceDestroy") is True:
        yield "Deleting the bucket deletes the weights in it: write forceDestroy: false."


POLICIES = (
    Policy(
        "deletion-prevented",
        "high",
        "One mistaken edit deletes a cluster, its heads' state or the weights.",
        KEPT,
        must_be(
            "deletionPolicy",
            right="PREVENT",
            sentence="Nothing keeps it from being deleted: write deletionPolicy: PREVENT (infra.protect: true).",
        ),
    ),
    Policy("bucket-emptied", "high", "Weights are deleted with the bucket.", [BUCKET], _force),
    Policy(
        "bucket-public",
        "critical",
        "Weights can be shared with the internet.",
        [BUCKET],
        must_be(
            "publicAccessPrevention",
            right="enforced",
            sentence="The bucket may be made public: write publicAccessPrevention: enforced.",
        ),
    ),
    Policy(
        "redis-without-password",
        "high",
        "Whoever reaches the network reads and changes the state of Ray's heads.",
        [REDIS],
        must_be("authEnabled", right=True, sentence="Redis asks for no password: write authEnabled: true."),
    ),
)
