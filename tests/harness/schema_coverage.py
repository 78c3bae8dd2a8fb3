"""Count the input fields that the stand-in checks against Google's discovery documents, and list the others.

    python -m tests.harness.schema_coverage [TOKEN ...]

Fields are counted at every depth. `not in body`: the field is part of the URL or exists only in the provider. `not
found`: the SDK has the field, and the stand-in finds no such field in the document, so it checks only name and type.
Below a field that was not found, no further fields are listed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from rehearsal.google import discovery, resource_types
from rehearsal.google.resource_types import ResourceType


@dataclass
class Coverage:
    """Counts of the input fields of one resource type, and the paths that were not found."""

    found: int = 0
    not_in_body: int = 0
    not_found: list[str] = field(default_factory=list)

    def line(self, name: str) -> str:
        """Return one line of the printed table."""
        counts = f"found {self.found:4}  not in body {self.not_in_body:4}  not found {len(self.not_found):4}"
        return f"{name:70} {counts}"


def coverage(resource: ResourceType) -> Coverage:
    """Look up every input field of a resource type in the discovery document."""
    result = Coverage()
    for input_field in discovery.all_input_fields(resource):
        if input_field.not_in_body:
            result.not_in_body += 1
        elif input_field.api_schema is not None and _same_kind(resource, input_field):
            result.found += 1
        else:
            result.not_found.append(input_field.path)
    return result


def topmost(paths: list[str]) -> list[str]:
    """Return the paths that do not lie below another path."""
    return [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]


def _same_kind(resource: ResourceType, input_field: discovery.InputField) -> bool:
    """Return True if both sides have an object or both have a value; otherwise the name led to another field."""
    is_object = discovery.input_fields(resource, input_field) is not None
    return is_object is (discovery.scalar_schema(resource, input_field) is None)


def main(wanted: list[str]) -> None:
    """Print the coverage of each resource type whose token contains one of `wanted`, by default of all."""
    total = Coverage()
    for token in resource_types.tokens():
        if wanted and not any(word in token for word in wanted):
            continue
        one = coverage(resource_types.resource_type(token))
        print(one.line(token))
        for path in topmost(one.not_found):
            print(f"    {path}")
        total.found += one.found
        total.not_in_body += one.not_in_body
        total.not_found += one.not_found
    print(total.line("all"))


if __name__ == "__main__":
    main(sys.argv[1:])
