"""Field types that several Google settings share."""

from __future__ import annotations

from typing import Annotated

from config.base import HOSTNAME, HOSTNAME_WORDS, matches

RESOURCE_NAME_PATTERN = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
RESOURCE_NAME_FORMAT = (
    "the name alone: up to 63 lowercase letters, digits and hyphens, beginning with a letter and ending without a "
    "hyphen"
)
PROJECT_ID_PATTERN = r"[a-z][a-z0-9-]{4,28}[a-z0-9]"
PROJECT_ID_FORMAT = (
    "a project id: 6 to 30 lowercase letters, digits and hyphens, beginning with a letter and ending without a hyphen"
)

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
