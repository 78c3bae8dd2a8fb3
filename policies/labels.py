"""Labels: whose money it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.kit import NODE_POOL, UNKNOWN, Policy, at

WANTED = ("environment", "owner")


def _missing(inputs: Mapping[str, Any]) -> Iterator[str]:
    given = at(inputs, "nodeConfig.resourceLabels")
    for name in WANTED:
        if given != UNKNOWN and not at(given, name):
            yield f"Nobody can tell whose machines these are: write nodeConfig.resourceLabels.{name}."


POLICIES = (Policy("machines-unlabelled", "medium", "A bill that nobody owns.", [NODE_POOL], _missing),)
