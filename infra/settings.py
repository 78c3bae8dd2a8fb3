"""What the `infra` block of an environment may say: where the stack runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from infra.google.settings import GoogleSettings
from infra.machine.settings import MachineSettings

InfraSettings = Annotated[MachineSettings | GoogleSettings, Field(discriminator="kind")]
"""`kind: machine` for this computer, `kind: google` for GKE."""
