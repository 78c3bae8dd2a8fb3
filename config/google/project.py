"""The Google Cloud project of a stack."""

from __future__ import annotations

from pydantic import Field

from config.base import Settings
from config.google.base import ProjectId


class Project(Settings):
    """The Google Cloud project that everything is in. It exists, and has a billing account."""

    id: ProjectId
    """Its id."""
    number: int = Field(gt=0)
    """Its number, which service agents and principals are named by; written here, it is never asked for."""
