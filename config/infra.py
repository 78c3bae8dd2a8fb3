"""What the `infra` block of an environment may say: where the stack runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.google.infra import GoogleInfra
from config.local.infra import LocalInfra

InfraSettings = Annotated[LocalInfra | GoogleInfra, Field(discriminator="kind")]
"""`kind: local` for this computer, `kind: google` for GKE."""
