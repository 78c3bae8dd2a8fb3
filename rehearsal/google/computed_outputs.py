"""Compute what Google assigns to a resource: its id, and the outputs that no program writes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehearsal.google import resource_types, sdk_schema
from rehearsal.google.resource_types import ResourceType
from rehearsal.plugin_values import UNKNOWN, unwrap

ATTRIBUTION_LABEL = {"goog-pulumi-provisioned": "true"}


class UnknownValue(Exception):
    """A template names a value that is not known yet."""


class TemplateValues(dict[str, Any]):
    """The values that templates of resource_types.yaml can name.

    They are the inputs, the provider's project, region and zone where the inputs have none, and derived values.
    `hash` and `ip` follow from the resource's id and `number` from the project's id, so two runs give equal values.
    """

    def __init__(
        self, resource: ResourceType, inputs: Mapping[str, Any], config: Mapping[str, Any], serial: int = 0
    ) -> None:
        super().__init__(resource.defaults)
        self.update({k: v for k, v in config.items() if k in ("project", "region", "zone")})
        self.setdefault("location", self.get("region", ""))
        self.update(inputs)
        project = str(self.get("project", ""))
        api = str(inputs.get("service", "")).split(".")[0]
        self.update(
            number=str(100_000_000_000 + _digest(project) % 900_000_000_000),
            service=resource.service,
            agent=resource_types.service_agents().get(api, f"gcp-sa-{api}"),
            serial=serial,
        )
        if api:
            self["service"] = inputs["service"]

    def __missing__(self, key: str) -> str:
        raise UnknownValue(key)

    def set_resource_id(self, resource: ResourceType) -> str:
        """Compute Google's id of the resource and the values that follow from it. Raises `UnknownValue`."""
        id_ = render(resource.id_template, self)
        digest = _digest(id_)
        self.update(id=id_, hash=f"{digest:016x}", ip=f"10.{digest % 250}.{digest // 250 % 250}.2")
        self["dns_endpoint"] = _dns_endpoint(self)
        return id_


class _Value:
    """`{x}` formats the value, `{x:last}` the last part of its path."""

    def __init__(self, value: Any) -> None:
        if value == UNKNOWN:
            raise UnknownValue
        self._text = str(value)

    def __format__(self, spec: str) -> str:
        return self._text.split("/")[-1] if spec == "last" else self._text


class _FormatValues(dict[str, Any]):
    def __init__(self, values: TemplateValues) -> None:
        super().__init__()
        self._values = values

    def __missing__(self, key: str) -> _Value:
        return _Value(unwrap(self._values[key]))


def render(template: Any, values: TemplateValues) -> Any:
    """Return `template` with its placeholders replaced, at any depth. Raises `UnknownValue`."""
    match template:
        case str():
            return template.format_map(_FormatValues(values))
        case dict():
            return {key: render(value, values) for key, value in template.items()}
        case list():
            return [render(value, values) for value in template]
        case _:
            return template


def all_outputs(
    resource: ResourceType,
    inputs: Mapping[str, Any],
    values: TemplateValues,
    labels: Mapping[str, Any],
    *,
    olds: Mapping[str, Any] | None = None,
    preview: bool = False,
) -> dict[str, Any]:
    """Return all outputs: the inputs, what Google assigns, and placeholders for other outputs that always have a value.

    In a preview, what Google would assign is unknown. `olds` are the outputs before an update; what Google assigned
    then stays.
    """
    out: dict[str, Any] = {**resource.defaults, **inputs}
    for key, template in resource.outputs.items():
        name = key.removesuffix("?")
        if name != key and name not in out:
            continue
        known = not preview or name in resource.known_in_preview
        value = _keep_old(template, (olds or {}).get(name))
        if value is None:
            try:
                value = render(template, values) if known else unknown_like(template)
            except UnknownValue:
                value = UNKNOWN
        out[name] = _merge(value, out[name]) if name in out else value
    own_labels = unwrap(inputs.get("labels") or inputs.get("resourceLabels") or {})
    for name in ("pulumiLabels", "effectiveLabels"):
        if name in resource.schema.outputs and isinstance(own_labels, dict):
            out[name] = {**labels, **own_labels, **ATTRIBUTION_LABEL}
    for name, field in resource.schema.outputs.items():
        if name not in out and field.required:
            out[name] = olds[name] if olds and name in olds else UNKNOWN if preview else _placeholder(name, field.type)
    return out


def unknown_like(template: Any) -> Any:
    """Return a copy of `template` in which every value is unknown."""
    return {k: unknown_like(v) for k, v in template.items()} if isinstance(template, dict) else UNKNOWN


def _keep_old(template: Any, old: Any) -> Any:
    """Return what Google assigned before, for the keys that the template assigns."""
    if isinstance(template, dict) and isinstance(old, dict):
        return {key: _keep_old(inner, old[key]) for key, inner in template.items() if key in old}
    return old


def _merge(assigned: Any, given: Any) -> Any:
    """Merge blocks; a given value wins over an assigned one."""
    if isinstance(assigned, dict) and isinstance(given, dict):
        return {**assigned, **{k: _merge(assigned.get(k), v) for k, v in given.items()}}
    return given


def _placeholder(name: str, type_: sdk_schema.FieldType) -> Any:
    """Return a value of the right type that is visibly not Google's."""
    return {"str": f"stand-in-{name}", "int": 0, "float": 0.5, "bool": False, "list": []}.get(type_.kind, {})


def _dns_endpoint(values: TemplateValues) -> str:
    """Return a cluster's DNS endpoint; that of the region's rehearsal control plane, if one runs."""
    file = os.environ.get("RAYLLM_CONTROL_PLANES")
    region = str(unwrap(values.get("location", "")))
    control_plane = json.loads(Path(file).read_text()).get(region) if file else None
    if control_plane:
        return control_plane["server"].removeprefix("https://")
    return f"gke-{values['hash']}{values['hash']}-{values['number']}.{region}.gke.goog"


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
