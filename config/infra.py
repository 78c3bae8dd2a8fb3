"""The `infra` block of a stack: where the stack runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.google.infra import GoogleInfra
from config.local.infra import LocalInfra

InfraSettings = Annotated[LocalInfra | GoogleInfra, Field(discriminator="kind")]
"""`kind: local` for the local host, `kind: google` for GKE."""
