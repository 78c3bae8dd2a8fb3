"""What a policy of this pack is, and how it reads inputs: an unknown of a preview is skipped, not tripped over.

Policies are plain functions of plain inputs. They repeat only what a resource made by hand, or an edit of the program,
could break: what settings refuse is not said twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from policies.inputs import at

PROTECT = "(protect)"
"""Beside a resource's inputs: whether Pulumi refuses to delete it."""

Severity = Literal["low", "medium", "high", "critical"]


@dataclass(frozen=True)
class Policy:
    """One rule for resources of `types`.

    `broken` gives one sentence, what is wrong and what to write, for each time that inputs break it; `risk` is what may
    happen then.
    """

    name: str
    severity: Severity
    description: str
    types: Sequence[str]
    violations: Callable[[Mapping[str, Any]], Iterator[str]]


@dataclass(frozen=True)
class Resource:
    """One resource, among all those of a stack."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    urn: str = ""
    provider: str = ""
    """The provider's URN: of a Kubernetes object, which cluster it is in."""

    @property
    def namespace(self) -> Any:
        """Of a Kubernetes object."""
        return at(self.inputs, "metadata.namespace")

    @property
    def k8s_name(self) -> Any:
        """A Kubernetes object's name in its cluster."""
        return at(self.inputs, "metadata.name")

    def same_namespace(self, other: Resource) -> bool:
        """In the same namespace of the same cluster."""
        return (self.provider, self.namespace) == (other.provider, other.namespace)


Violation = tuple[str, Resource | None]
"""A sentence, and the resource that it is about; None: the stack."""


@dataclass(frozen=True)
class StackPolicy:
    """One rule for what a stack has together. `types` are those that it looks at, `settings` what an environment may
    write for it in policies/<environment>.json: name -> JSON schema."""

    name: str
    severity: Severity
    description: str
    types: Sequence[str]
    violations: Callable[[Sequence[Resource], Mapping[str, Any]], Iterator[Violation]]
    config_schema: Mapping[str, Mapping[str, Any]] | None = None
    advisory: bool = False
    """It says something and never stops anything."""
