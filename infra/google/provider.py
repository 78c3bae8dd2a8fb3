"""The one Google provider: project, region and zone are written, nothing is taken from the shell that runs Pulumi."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi_gcp as gcp

from infra.google.settings import GoogleSettings


def google_provider(settings: GoogleSettings, labels: Mapping[str, str]) -> gcp.Provider:
    """The provider that every component of this layer gets; `labels` go on everything that can carry any.

    Every resource says its own region or location. The provider says one too, as the SDK would else take it from
    GOOGLE_REGION or CLOUDSDK_COMPUTE_ZONE, and two people would see two different previews.
    """
    first = settings.regions[0]
    return gcp.Provider(
        "google",
        project=settings.project.id,
        region=first.name,
        zone=first.pools[0].zones[0],
        default_labels=dict(labels),
    )
