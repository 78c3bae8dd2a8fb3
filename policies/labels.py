"""Labels: show on the bill which environment and which owner cause a cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from policies.base import Policy
from policies.inputs import UNKNOWN, at
from policies.resource_types import GOOGLE_PROVIDER, NODE_POOL

REQUIRED_LABELS = ("environment", "owner")


def _node_labels(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `nodeConfig.resourceLabels`. The provider's default labels do not reach the VMs of a node pool."""
    labels = at(inputs, "nodeConfig.resourceLabels")
    for name in REQUIRED_LABELS:
        if labels != UNKNOWN and not at(labels, name):
            yield f"The pool's VMs have no label {name}. Set nodeConfig.resourceLabels.{name}."


def _default_labels(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Check `defaultLabels`. Pulumi passes the nested inputs of a provider as JSON text."""
    value = inputs.get("defaultLabels")
    labels = json.loads(value) if isinstance(value, str) and value != UNKNOWN else value
    for name in REQUIRED_LABELS:
        if labels != UNKNOWN and not at(labels, name):
            yield f"The provider's resources have no label {name}. Set defaultLabels.{name}."


POLICIES = (
    Policy(
        "nodepool-resource-labels",
        "medium",
        "The bill does not show which environment and owner pay for the VMs.",
        [NODE_POOL],
        _node_labels,
    ),
    Policy(
        "provider-default-labels",
        "medium",
        "The bill does not show which environment and owner pay for the resources.",
        [GOOGLE_PROVIDER],
        _default_labels,
    ),
)
