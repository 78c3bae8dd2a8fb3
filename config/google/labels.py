"""Labels that every resource carries."""

from __future__ import annotations

import re

from config.google.name_limits import _plain
from config.issues import Rule

LABEL = Rule(
    "names.label",
    problem="label {key} would be {value}",
    reason="labels are 1 to 63 lowercase letters, digits, hyphens and underscores, a letter or digit first and last",
    fix="write one such as {better}",
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")


def labels(environment: str, owner: str, stack_version: str) -> dict[str, str]:
    """What every resource carries, in a form that both Google and Kubernetes take.

    Labels hold no dots, so those of a version become underscores: 1.4.0 is 1_4_0.
    """
    made = {"environment": environment, "owner": owner, "stack-version": stack_version.replace(".", "_")}
    for key, value in made.items():
        if not _LABEL.fullmatch(value):
            raise LABEL.error(key=key, value=value or "empty", better=_plain(value, "-")[:63].strip("-") or "platform")
    return made
