"""Types of this pack: a policy for one resource, a policy for a whole stack, and the resource that they read.

Policies are plain functions of plain inputs (policies/inputs.py), so a value that a preview does not know never stops
one. They check only what a resource added by hand, or an edit of the program, could break: config/ already refuses
settings that break them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from policies.inputs import at

PROTECT = "(protect)"
"""Key beside a resource's inputs: the resource option `protect`, with which Pulumi refuses to delete the resource."""

Severity = Literal["low", "medium", "high", "critical"]


@dataclass(frozen=True)
class Policy:
    """A requirement for each resource of `types`.

    `description` says what goes wrong without it. `violations` takes the inputs of one resource and yields one message
    for each violation: the problem and the fix.
    """

    name: str
    severity: Severity
    description: str
    types: Sequence[str]
    violations: Callable[[Mapping[str, Any]], Iterator[str]]


@dataclass(frozen=True)
class Resource:
    """One resource of a stack."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    urn: str = ""
    provider: str = ""
    """URN of the provider. For a Kubernetes object it tells the cluster."""

    @property
    def namespace(self) -> Any:
        """Namespace of a Kubernetes object (`metadata.namespace`)."""
        return at(self.inputs, "metadata.namespace")

    @property
    def k8s_name(self) -> Any:
        """Name of a Kubernetes object in its cluster (`metadata.name`)."""
        return at(self.inputs, "metadata.name")

    def same_namespace(self, other: Resource) -> bool:
        """Return True if both objects are in the same namespace of the same cluster."""
        return (self.provider, self.namespace) == (other.provider, other.namespace)


Violation = tuple[str, Resource | None]
"""A message and the resource that it is about. None: the stack."""


@dataclass(frozen=True)
class StackPolicy:
    """A requirement for the resources of a stack together.

    `violations` takes the resources of `types` and the policy's settings in policies/<stack>.json.
    `config_schema` is the JSON schema of these settings by name.
    """

    name: str
    severity: Severity
    description: str
    types: Sequence[str]
    violations: Callable[[Sequence[Resource], Mapping[str, Any]], Iterator[Violation]]
    config_schema: Mapping[str, Mapping[str, Any]] | None = None
    advisory: bool = False
    """True: Pulumi prints the violation and does not stop the update."""
