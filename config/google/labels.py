"""Labels of every resource."""

from __future__ import annotations

import re

from config.issues import ConfigError, ConfigIssue, Rule

OWNER_NOT_A_LABEL = Rule(
    "infra.owner-not-a-label",
    problem="{value} cannot be a label",
    reason="labels are 1 to 63 lowercase letters, digits, hyphens and underscores, with a letter or digit at both ends",
    fix="Write a name such as {better}",
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")


def labels(environment: str, owner: str, stack_version: str) -> dict[str, str]:
    """Return the labels of every resource, in a form that both Google and Kubernetes accept.

    Labels cannot have dots, so a version has underscores instead: 1.4.0 is 1_4_0. Raises `ConfigError` for an `owner`
    that cannot be a label.
    """
    if issue := owner_issue(owner):
        raise ConfigError([issue.below("infra.owner")])
    return {"environment": environment, "owner": owner, "stack-version": stack_version.replace(".", "_")}


def owner_issue(owner: str) -> ConfigIssue | None:
    """Return the issue of an `owner` that cannot be a label, else None."""
    if _LABEL.fullmatch(owner):
        return None
    better = re.sub(r"[^a-z0-9]+", "-", re.sub(r"^[^a-z]+", "", owner.lower())).strip("-")[:63].strip("-")
    return OWNER_NOT_A_LABEL.issue("", value=owner or "an empty text", better=better or "platform")
