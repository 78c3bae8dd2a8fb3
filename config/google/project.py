"""`infra.project`: the Google Cloud project of a stack."""

from __future__ import annotations

from pydantic import Field

from config.base import Settings
from config.google.base import ProjectId


class Project(Settings):
    """A Google Cloud project. It exists already and has a billing account."""

    id: ProjectId
    """Project id."""
    number: int = Field(gt=0, le=999_999_999_999_999)
    """Project number, which is part of the names of service agents and principals."""
