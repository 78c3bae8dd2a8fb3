"""The one Google provider: project, region and zone are written, nothing is taken from the shell that runs Pulumi."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import pulumi_gcp as gcp

from config.google.infra import GoogleInfra

Block = TypeVar("Block")


def google_provider(settings: GoogleInfra, labels: Mapping[str, str]) -> gcp.Provider:
    """The provider that every component of this layer gets; `labels` go on everything that can carry any.

    Every resource says its own region or location. The provider says one too, as the SDK would else take it from
    GOOGLE_REGION or CLOUDSDK_COMPUTE_ZONE, and two people would see two different previews.
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
    """A nested block without the fields that are None: written out, they would reach the provider as null, which it
    need not take for absent."""
    return cast(Block, {key: value for key, value in cast(Mapping[str, Any], block).items() if value is not None})
