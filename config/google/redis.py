"""`infra.redis`: Memorystore for Redis, which keeps the state of the Ray heads."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from config.base import Settings


class RedisTier(StrEnum):
    """Memorystore's tiers."""

    BASIC = "BASIC"
    STANDARD_HA = "STANDARD_HA"


class RedisSettings(Settings):
    """A Memorystore for Redis instance in each region. A Ray head that restarts reads its state from it (Ray: GCS fault
    tolerance)."""

    tier: RedisTier = RedisTier.STANDARD_HA
    """Tier; BASIC has one node. A change replaces the instance."""
    memory_gib: int = Field(default=1, ge=1, le=300)
    """Memory of the instance in GiB; the state of a Ray cluster takes megabytes."""
