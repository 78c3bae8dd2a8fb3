"""How much of each resource the stand-in checks against Google's discovery documents, and what it does not.

python -m tests.harness.schema_coverage [TOKEN ...]. Fields are counted at every depth.
`own`: in the URL or only in
the provider. `not found`: the SDK has the field, the document has none that the stand-in can tell: such a field is
checked for name and type only. Only the topmost of a nest is listed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from rehearsal.google import discovery, resource_types
from rehearsal.google.resource_types import Token


@dataclass
class Count:
    """Fields of one token."""

    found: int = 0
    own: int = 0
    not_found: list[str] = field(default_factory=list)


def count(token: Token) -> Count:
    """Look every field up."""
    result = Count()
    for spot in discovery.every_field(token):
        if spot.own:
            result.own += 1
        elif spot.api is not None and _alike(token, spot):
            result.found += 1
        else:
            result.not_found.append(spot.path)
    return result


def topmost(paths: list[str]) -> list[str]:
    """Without those that lie below another."""
    return [p for p in paths if not any(p.startswith(f"{q}.") for q in paths)]


def _alike(token: Token, spot: discovery.Spot) -> bool:
    """An object is an object in both, a value a value: else the name leads to the wrong thing."""
    is_object = discovery.fields(token, spot) is not None
    return is_object is (discovery.scalar(token, spot) is None)


def main(names: list[str]) -> None:
    """Print the table."""
    total = Count()
    for name in resource_types.names():
        if names and not any(wanted in name for wanted in names):
            continue
        one = count(resource_types.get(name))
        listed = topmost(one.not_found)
        print(f"{name:70} found {one.found:4}  own {one.own:4}  not found {len(one.not_found):4}")
        for path in listed:
            print(f"    {path}")
        total.found, total.own = total.found + one.found, total.own + one.own
        total.not_found += one.not_found
    print(f"{'all':70} found {total.found:4}  own {total.own:4}  not found {len(total.not_found):4}")


if __name__ == "__main__":
    main(sys.argv[1:])
