"""One stack's settings, checked: the `infra` and `serving` blocks as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from config import cross_validation
from config.base import Settings
from config.google.infra import GoogleInfra
from config.infra import InfraSettings
from config.issues import ConfigError
from config.parsing import parse
from config.region_plan import RegionPlan, plan_regions
from config.secret_scan import SECRET_IN_CLEAR, find_secrets
from config.serving import ServingSettings, reject_model_list


class Blocks(Settings):
    """Both blocks of a file."""

    infra: InfraSettings
    """Where it runs."""
    serving: ServingSettings | None
    """What runs; null for infrastructure only."""


@dataclass(frozen=True)
class StackConfig:
    """One environment, checked."""

    name: str
    infra: InfraSettings
    serving: ServingSettings | None
    has_hugging_face_token: bool = False
    """True if the stack has the secret `rayllm:huggingFaceToken`."""
    region_plans: Mapping[str, RegionPlan] = field(default_factory=dict)
    """Region -> its plan; empty without `serving` and for `infra.kind: local`."""


def check(name: str, raw: Mapping[str, object], *, has_hugging_face_token: bool = False) -> StackConfig:
    """`raw` is `{infra: ..., serving: ...}` as plain data, and whatever else the file has."""
    if leaks := list(find_secrets("", raw)):
        raise ConfigError([SECRET_IN_CLEAR.format(at=at) for at in leaks], [SECRET_IN_CLEAR.id] * len(leaks))
    if several := reject_model_list(raw.get("serving")):
        raise several
    blocks = parse(Blocks, "", raw)
    found = list(cross_validation.find_issues(name, blocks.infra, blocks.serving, token=has_hugging_face_token))
    if found:
        raise ConfigError([sentence for _, sentence in found], [rule for rule, _ in found])
    plans = (
        plan_regions(blocks.serving, blocks.infra)
        if blocks.serving is not None and isinstance(blocks.infra, GoogleInfra)
        else {}
    )
    return StackConfig(name, blocks.infra, blocks.serving, has_hugging_face_token, plans)
