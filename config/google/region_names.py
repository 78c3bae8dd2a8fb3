"""Google's regions, and the short code of each in a resource name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from config.issues import Rule

REGION_INVALID = Rule(
    "infra.regions.name-invalid",
    problem="{region} is not a Google region",
    reason="a region is a continent, a direction and a number",
    fix="Write one such as us-central1, or add the new continent to config/google/region_names.py",
)

CONTINENTS: Mapping[str, str] = MappingProxyType(
    {
        "africa": "af",
        "asia": "as",
        "australia": "au",
        "europe": "eu",
        "me": "me",
        "northamerica": "na",
        "southamerica": "sa",
        "us": "us",
    }
)
DIRECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "central": "c",
        "east": "e",
        "north": "n",
        "northeast": "ne",
        "northwest": "nw",
        "south": "s",
        "southeast": "se",
        "southwest": "sw",
        "west": "w",
    }
)
_REGIONS = """
africa-south1 asia-east1 asia-east2 asia-northeast1 asia-northeast2 asia-northeast3 asia-south1 asia-south2
asia-southeast1 asia-southeast2 asia-southeast3 australia-southeast1 australia-southeast2 europe-central2 europe-north1
europe-north2 europe-southwest1 europe-west1 europe-west2 europe-west3 europe-west4 europe-west6 europe-west8
europe-west9 europe-west10 europe-west12 me-central1 me-central2 me-west1 northamerica-northeast1
northamerica-northeast2 northamerica-south1 southamerica-east1 southamerica-west1 us-central1 us-east1 us-east4 us-east5
us-south1 us-west1 us-west2 us-west3 us-west4 us-west8
"""
REGIONS = tuple(_REGIONS.split())
"""Regions in November 2026. Another name is a warning only, as Google adds regions."""
REGION_PATTERN = re.compile(rf"({'|'.join(CONTINENTS)})-({'|'.join(DIRECTIONS)})([1-9][0-9]?)")
REGION_CODE_PATTERN = re.compile(rf"(?:{'|'.join(CONTINENTS.values())})(?:{'|'.join(DIRECTIONS.values())})[1-9][0-9]?")


def region_code(region: str) -> str:
    """Return the permanent code of a region, four to six characters: us-central1 is usc1, northamerica-northeast1 is
    nane1. Raises a pydantic error, which is a `ValueError`, if `region` has another form."""
    found = REGION_PATTERN.fullmatch(region)
    if found is None:
        raise REGION_INVALID.error(region=region)
    continent, direction, number = found.groups()
    return CONTINENTS[continent] + DIRECTIONS[direction] + number
