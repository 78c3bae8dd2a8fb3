"""Field types that several Google settings share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeVar

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from config.base import HOSTNAME, HOSTNAME_WORDS, Settings, matches

RESOURCE_NAME_PATTERN = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
RESOURCE_NAME_FORMAT = (
    "its name alone: up to 63 lowercase letters, digits and hyphens, a letter first and no hyphen last"
)
PROJECT_ID_PATTERN = r"[a-z][a-z0-9-]{4,28}[a-z0-9]"
PROJECT_ID_FORMAT = "a project's id: 6 to 30 lowercase letters, digits and hyphens, a letter first and no hyphen last"
LocatedError = tuple[tuple[str | int, ...], PydanticCustomError]
"""Where in the block, and what is refused there."""

ResourceName = Annotated[str, matches(RESOURCE_NAME_PATTERN, RESOURCE_NAME_FORMAT)]
ProjectId = Annotated[str, matches(PROJECT_ID_PATTERN, PROJECT_ID_FORMAT)]
KmsKeyName = Annotated[
    str,
    matches(
        r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+",
        "projects/P/locations/L/keyRings/R/cryptoKeys/K, without a version",
    ),
]
Hostname = Annotated[str, matches(HOSTNAME, HOSTNAME_WORDS)]


M = TypeVar("M", bound=Settings)


def raise_all(model: M, found: Iterator[LocatedError]) -> M:
    """`model`, or every refusal at once, each at its place in the block."""
    errors = [InitErrorDetails(type=refusal, loc=loc, input=None) for loc, refusal in found]
    if errors:
        raise ValidationError.from_exception_data(type(model).__name__, errors)
    return model
