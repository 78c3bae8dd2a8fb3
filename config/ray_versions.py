"""The Ray versions that a fact about Ray holds for."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.version import Version


@dataclass(frozen=True, kw_only=True)
class RayVersionRange:
    """Base of a row that holds for some Ray versions only."""

    since: str = ""
    """First Ray version that has it; empty if every older one has it, or if it is not Ray's."""
    until: str = ""
    """First Ray version that no longer has it; empty if none is known."""

    def applies_to(self, ray: str) -> bool:
        """Return True if Ray version `ray` has it."""
        return not (self.since and Version(ray) < Version(self.since)) and not self.is_fixed(ray)

    def is_fixed(self, ray: str) -> bool:
        """Return True if Ray version `ray` no longer has it."""
        return bool(self.until) and Version(ray) >= Version(self.until)

    @property
    def ray_versions(self) -> str:
        """The Ray versions in words, for the generated page and `make compat`."""
        bounds = [f"from {self.since}" if self.since else "", f"before {self.until}" if self.until else ""]
        return " and ".join(filter(None, bounds)) or "all"
