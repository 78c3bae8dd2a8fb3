"""`infra.model_bucket`: the Cloud Storage bucket with the model weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.base import Settings, matches


class NewBucket(Settings):
    """A bucket that this stack creates."""

    kind: Literal["new"] = "new"
    """Create a bucket."""
    location: Annotated[
        str,
        matches(
            r"US|EU|ASIA|ASIA1|EUR[4578]|NAM4|[A-Z]+-[A-Z]+[0-9]+",
            "a location in capitals: US, EU or ASIA, a dual-region such as NAM4, or a region such as US-CENTRAL1",
        ),
    ] = "US"
    """Location in capitals, as Cloud Storage writes it: a multi-region (US), a dual-region (NAM4) or a region
    (US-CENTRAL1). A change replaces the bucket."""


class ExistingBucket(Settings):
    """A bucket that exists already; this stack grants the workers the right to read it."""

    kind: Literal["existing"]
    """Use an existing bucket."""
    name: Annotated[
        str,
        matches(
            r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", "the name of the bucket alone, without gs:// and without a folder"
        ),
    ]
    """Name of the bucket, without gs://."""


ModelBucketSettings = Annotated[NewBucket | ExistingBucket, Field(discriminator="kind")]
