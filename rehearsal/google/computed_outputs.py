"""What Google gives a resource: its name, and the outputs that no program writes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehearsal.google import resource_types, sdk_schema
from rehearsal.google.resource_types import Token
from rehearsal.plugin_values import UNKNOWN, bare

ATTRIBUTION = {"goog-pulumi-provisioned": "true"}


class Missing(Exception):
    """A template names an input that is not known yet."""


class Facts(dict[str, Any]):
    """What templates can name: the inputs, the provider's own settings where they are not given, and a few numbers.

    `hash` and `ip` follow from the resource's name and `number` from the project's, so that two runs are alike.
    """

    def __init__(self, token: Token, inputs: Mapping[str, Any], config: Mapping[str, Any], serial: int = 0) -> None:
        super().__init__(token.defaults)
        self.update({k: v for k, v in config.items() if k in ("project", "region", "zone")})
        self.setdefault("location", self.get("region", ""))
        self.update(inputs)
        project = str(self.get("project", ""))
        api = str(inputs.get("service", "")).split(".")[0]
        self.update(
            number=str(100_000_000_000 + _digest(project) % 900_000_000_000),
            service=token.service,
            agent=resource_types.agents().get(api, f"gcp-sa-{api}"),
            serial=serial,
        )
        if api:
            self["service"] = inputs["service"]

    def __missing__(self, key: str) -> str:
        raise Missing(key)

    def identify(self, token: Token) -> str:
        """Google's name of the resource; it becomes one of the facts. Raises `Missing`."""
        name = fill(token.id, self)
        self.update(
            id=name, hash=f"{_digest(name):016x}"[:16], ip=f"10.{_digest(name) % 250}.{_digest(name) // 250 % 250}.2"
        )
        self["api_server"] = _api_server(self)
        return name


class _Value:
    """`{x}` is the value, `{x:last}` the last part of its path."""

    def __init__(self, value: Any) -> None:
        if value == UNKNOWN:
            raise Missing
        self._text = str(value)

    def __format__(self, spec: str) -> str:
        return self._text.split("/")[-1] if spec == "last" else self._text


class _Formats(dict[str, Any]):
    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self._facts = facts

    def __missing__(self, key: str) -> _Value:
        return _Value(bare(self._facts[key]))


def fill(template: Any, facts: Facts) -> Any:
    """`template` with its placeholders filled, at any depth. Raises `Missing`."""
    match template:
        case str():
            return template.format_map(_Formats(facts))
        case dict():
            return {key: fill(value, facts) for key, value in template.items()}
        case list():
            return [fill(value, facts) for value in template]
        case _:
            return template


def outputs(
    token: Token,
    inputs: Mapping[str, Any],
    facts: Facts,
    labels: Mapping[str, Any],
    *,
    olds: Mapping[str, Any] | None = None,
    preview: bool = False,
) -> dict[str, Any]:
    """All outputs: the inputs, what is assigned, and a stand-in of the right type for the rest that is always there.

    In a preview what Google would assign is unknown. `olds` are the outputs before an update: what Google assigned then
    stays.
    """
    out: dict[str, Any] = {**token.defaults, **inputs}
    for key, template in token.outputs.items():
        name = key.removesuffix("?")
        if name != key and name not in out:
            continue
        known = not preview or name in token.planned
        value = _kept(template, (olds or {}).get(name))
        if value is None:
            try:
                value = fill(template, facts) if known else unknown(template)
            except Missing:
                value = UNKNOWN
        out[name] = _merge(value, out[name]) if name in out else value
    own_labels = bare(inputs.get("labels") or inputs.get("resourceLabels") or {})
    for name in ("pulumiLabels", "effectiveLabels"):
        if name in token.shape.outputs and isinstance(own_labels, dict):
            out[name] = {**labels, **own_labels, **ATTRIBUTION}
    for name, field in token.shape.outputs.items():
        if name not in out and field.required:
            out[name] = olds[name] if olds and name in olds else UNKNOWN if preview else _plausible(name, field.type)
    return out


def unknown(template: Any) -> Any:
    """A template with every value unknown."""
    return {k: unknown(v) for k, v in template.items()} if isinstance(template, dict) else UNKNOWN


def _kept(template: Any, old: Any) -> Any:
    """What Google assigned before, of what it assigns."""
    if isinstance(template, dict) and isinstance(old, dict):
        return {key: _kept(inner, old[key]) for key, inner in template.items() if key in old}
    return old


def _merge(assigned: Any, given: Any) -> Any:
    """What was given wins; blocks are merged."""
    if isinstance(assigned, dict) and isinstance(given, dict):
        return {**assigned, **{k: _merge(assigned.get(k), v) for k, v in given.items()}}
    return given


def _plausible(name: str, type_: sdk_schema.Type) -> Any:
    """A value of the right type that nobody takes for Google's."""
    return {"str": f"stand-in-{name}", "int": 0, "float": 0.5, "bool": False, "list": []}.get(type_.kind, {})


def _api_server(facts: Facts) -> str:
    """A cluster's DNS endpoint: that of the control plane which stands for its region, where one does."""
    planes = os.environ.get("RAYLLM_CONTROL_PLANES")
    region = str(bare(facts.get("location", "")))
    found = json.loads(Path(planes).read_text()).get(region) if planes else None
    if found:
        return found["server"].removeprefix("https://")
    return f"gke-{facts['hash']}{facts['hash']}-{facts['number']}.{region}.gke.goog"


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
