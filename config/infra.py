"""What the `infra` block of an environment may say: where the stack runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.google.infra import GoogleSettings
from config.local.infra import MachineSettings

InfraSettings = Annotated[MachineSettings | GoogleSettings, Field(discriminator="kind")]
"""`kind: machine` for this computer, `kind: google` for GKE."""
