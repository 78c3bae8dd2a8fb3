"""Labels: whose money it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from policies.base import Policy
from policies.inputs import UNKNOWN, at
from policies.resource_types import NODE_POOL

PROVIDER = "pulumi:providers:gcp"
WANTED = ("environment", "owner")


def _missing(inputs: Mapping[str, Any]) -> Iterator[str]:
    """The provider's labels do not reach VMs."""
    given = at(inputs, "nodeConfig.resourceLabels")
    for name in WANTED:
        if given != UNKNOWN and not at(given, name):
            yield f"Nobody can tell whose machines these are: write nodeConfig.resourceLabels.{name}."


def _unlabelled(inputs: Mapping[str, Any]) -> Iterator[str]:
    """The engine hands a provider's nested inputs on as JSON."""
    given = inputs.get("defaultLabels")
    labels = json.loads(given) if isinstance(given, str) and given != UNKNOWN else given
    for name in WANTED:
        if labels != UNKNOWN and not at(labels, name):
            yield f"Nobody can tell whose resources these are: write default_labels with {name} on the provider."


POLICIES = (
    Policy("nodepool-resource-labels", "medium", "A bill that nobody owns.", [NODE_POOL], _missing),
    Policy("provider-default-labels", "medium", "A bill that nobody owns.", [PROVIDER], _unlabelled),
)
