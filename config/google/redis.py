"""`infra.redis`: Memorystore for the Ray heads' state."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from config.base import Settings


class RedisTier(StrEnum):
    """Memorystore's tiers."""

    BASIC = "BASIC"
    STANDARD_HA = "STANDARD_HA"


class RedisSettings(Settings):
    """Redis in each region, which lets a Ray head come back as it was (GCS fault tolerance)."""

    tier: RedisTier = RedisTier.STANDARD_HA
    """BASIC has one node. Changing it replaces the instance."""
    memory_gib: int = Field(default=1, ge=1, le=300)
    """Size of the instance; a cluster's state takes megabytes."""
