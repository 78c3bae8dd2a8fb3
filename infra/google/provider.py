"""The Google provider, with explicit project, region and zone: nothing depends on the shell that runs Pulumi."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import pulumi_gcp as gcp

from config.google.infra import GoogleInfra

Block = TypeVar("Block")


def google_provider(settings: GoogleInfra, labels: Mapping[str, str]) -> gcp.Provider:
    """Return the provider of every Google resource. `labels` are the default labels of resources.

    Every resource sets its own region or location. The provider sets one too, because the SDK would otherwise read
    GOOGLE_REGION or CLOUDSDK_COMPUTE_ZONE, and two users would see two different previews.
    """
    first = settings.regions[0]
    return gcp.Provider(
        "google",
        project=settings.project.id,
        region=first.name,
        zone=first.node_pools[0].zones[0],
        default_labels=dict(labels),
    )


def omit_none(block: Block) -> Block:
    """Return a nested block without the fields that are None. The provider would receive them as null, which it may
    treat differently from an absent field."""
    return cast(Block, {key: value for key, value in cast(Mapping[str, Any], block).items() if value is not None})
