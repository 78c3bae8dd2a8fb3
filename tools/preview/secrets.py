"""Hide secrets in the inputs of a recorded preview."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from config.google import pricing
from config.secret_patterns import SECRET_NAME

SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Key by which Pulumi marks a mapping as a special value, such as a secret."""
SECRET = "[secret]"
MISSING = "(none)"
"""Shown in place of a value that does not exist."""


def display(value: object) -> str:
    """Return a value as text, without secrets and with words for values that Pulumi does not know yet."""
    value = _hide(value)
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text.replace(pricing.UNKNOWN, "known after apply")


def value_at(inputs: object, path: str) -> object:
    """Return the value at Pulumi's property path, such as `a.b[0]["c.d"]`. A secret hides everything below it."""
    for name, quoted, index in re.findall(r"""([^.\[\]"]+)(?=[.\[]|$)|\["([^"]+)"\]|\[(\d+)\]""", path):
        if index and isinstance(inputs, list):
            inputs = inputs[int(index)] if int(index) < len(inputs) else MISSING
        elif isinstance(inputs, Mapping):
            if SECRET_SIGNATURE in inputs:
                return SECRET
            key = name or quoted
            inputs = SECRET if key == "value" and _is_secret_env_var(inputs) else inputs.get(key, MISSING)
        elif inputs != SECRET:
            return MISSING
    return inputs


def is_secret_path(path: str) -> bool:
    """Return whether a name in the property path says that its value is a secret."""
    return SECRET_NAME.search(path) is not None


def _hide(value: object, name: str = "") -> object:
    """Replace every secret in `value`: those that Pulumi marks, and texts whose `name` says so."""
    if isinstance(value, Mapping):
        inside = {"value": SECRET} if _is_secret_env_var(value) else {}
        return SECRET if SECRET_SIGNATURE in value else {k: _hide(each, k) for k, each in {**value, **inside}.items()}
    if isinstance(value, list):
        return [_hide(each, name) for each in value]
    return SECRET if isinstance(value, str) and SECRET_NAME.search(name) else value


def _is_secret_env_var(variable: Mapping[str, Any]) -> bool:
    """Return whether this is an entry of a container's `env` whose name says secret."""
    return "value" in variable and bool(SECRET_NAME.search(str(variable.get("name"))))
