"""Settings of one stack, validated: the `infra` and `serving` blocks as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from config import cross_validation
from config.base import Settings
from config.google.infra import GoogleInfra
from config.infra import InfraSettings
from config.issues import ConfigError, ConfigIssue, Rule
from config.parsing import parse
from config.region_plan import RegionPlan, plan_regions
from config.secret_scan import find_secrets, redact
from config.serving import ServingSettings, find_model_lists

BLOCK_MISSING = Rule(
    "settings.block-missing",
    problem="missing",
    reason="the file has no `rayllm:{block}` under `config:`{foreign}",
    fix="{fix}",
)
_BLOCK_FIXES = {
    "infra": "Copy the block from Pulumi.local.yaml, Pulumi.dev.yaml or Pulumi.prod.yaml",
    "serving": "Write the block, or `rayllm:serving: null` for infrastructure only",
}


class Blocks(Settings):
    """Both blocks of a stack file."""

    infra: InfraSettings
    """Where the stack runs."""
    serving: ServingSettings | None
    """What the stack runs; null for infrastructure only."""


class ServingBlock(Settings):
    """The `serving` block alone, to report its issues beside those of an `infra` block that is wrong."""

    serving: ServingSettings | None


@dataclass(frozen=True)
class StackConfig:
    """Validated settings of one stack."""

    name: str
    """Name of the Pulumi stack."""
    infra: InfraSettings
    serving: ServingSettings | None
    has_hugging_face_token: bool = False
    """True if the stack has the secret `rayllm:huggingFaceToken`."""
    region_plans: Mapping[str, RegionPlan] = field(default_factory=dict)
    """Region -> its plan; empty without `serving` and for `infra.kind: local`."""


def check(name: str, raw: Mapping[str, object], *, has_hugging_face_token: bool = False) -> StackConfig:
    """Validate the settings of stack `name` and return them.

    `raw` is `{infra: ..., serving: ...}` as plain data, with any other key of the file; a block that the file does not
    have is not in it. Raises `ConfigError` with every
    issue that can be found at once.
    """
    found = [*find_secrets(raw), *find_model_lists(raw.get("serving")), *_missing_blocks(raw)]
    reported = {issue.path for issue in found}
    redacted = redact({key: value for key, value in raw.items() if ":" not in key})
    try:
        blocks = parse(Blocks, "", redacted)
    except ConfigError as error:
        found += [issue for issue in error.issues if not _repeats(issue, reported)]
        found += _serving_issues(redacted)
        raise ConfigError(found) from None
    infra, serving = blocks.infra, blocks.serving
    plans = plan_regions(serving, infra) if serving is not None and isinstance(infra, GoogleInfra) else {}
    found += cross_validation.find_issues(name, infra, serving, plans, has_token=has_hugging_face_token)
    if found:
        raise ConfigError(found)
    return StackConfig(name, infra, serving, has_hugging_face_token, plans)


def _missing_blocks(raw: Mapping[str, object]) -> Iterator[ConfigIssue]:
    """Yield an issue for each block that the file does not have. `null` counts only where it is written."""
    for block, fix in _BLOCK_FIXES.items():
        foreign = next((key for key in raw if key.endswith(f":{block}")), None)
        if block not in raw:
            hint = f", and `{foreign}` is of another project" if foreign else ""
            rename = f"Write `rayllm:{block}` in place of `{foreign}`"
            yield BLOCK_MISSING.issue(block, block=block, foreign=hint, fix=rename if foreign else fix)


def _repeats(issue: ConfigIssue, reported: set[str]) -> bool:
    """Return True if `issue` only follows from one in `reported`: the same path, or a missing `serving.model`."""
    return issue.path in reported or (issue.path == "serving.model" and "serving.models" in reported)


def _serving_issues(raw: object) -> Iterator[ConfigIssue]:
    """Yield what is wrong in a `serving` block that parses, beside an `infra` block that does not."""
    if not isinstance(raw, Mapping) or "serving" not in raw:
        return
    try:
        serving = parse(ServingBlock, "", {"serving": raw.get("serving")}).serving
    except ConfigError:
        return  # parsing both blocks reports these
    if serving is not None:
        yield from cross_validation.find_serving_issues(serving)
