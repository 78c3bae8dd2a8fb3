"""Google's regions: which are known, and the short code that stands for each in a name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from config.issues import Rule

REGION = Rule(
    "names.region",
    problem="{region} does not look like a Google region",
    reason="a region is a continent, a direction and a number",
    fix="write one such as us-central1, or add the new continent to config/google/name_limits.py",
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
"""Those that were known in November 2026; another one is a warning, as new ones come."""
_REGION = re.compile(rf"({'|'.join(CONTINENTS)})-({'|'.join(DIRECTIONS)})([1-9][0-9]?)")
_CODE = re.compile(rf"(?:{'|'.join(CONTINENTS.values())})(?:{'|'.join(DIRECTIONS.values())})[1-9][0-9]?")


def region_code(region: str) -> str:
    """A region in four to six characters, the same for ever: us-central1 is usc1, northamerica-northeast1 is nane1."""
    found = _REGION.fullmatch(region)
    if found is None:
        raise REGION.error(region=region)
    continent, direction, number = found.groups()
    return CONTINENTS[continent] + DIRECTIONS[direction] + number


def _region(region: str) -> str:
    region_code(region)
    return region
