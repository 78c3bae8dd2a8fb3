"""API keys: what a caller must present, and where their hashes are. A key itself is nowhere but with its owner.

`make keys` adds, lists and revokes keys (docs/how-to/api-keys.md).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.base import Settings, matches

MAP_FILE = "keys.map"
"""Entry of the Secret, and name of the file: one line `SHA256_OF_KEY NAME` a key."""


class ApiKeys(Settings):
    """Callers need a key: `Authorization: Bearer KEY`, or `x-api-key: KEY`. Requests from inside a pod need none."""

    secret: Annotated[
        str, matches(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "a name of lowercase letters, digits and hyphens")
    ] = "rayllm-api-keys"
    """On Kubernetes: name of the Secret in the namespace of the models whose entry `keys.map` has the hashes. `make
    keys` writes it; without it every request is refused."""
    max_requests: int | None = Field(default=None, ge=1, le=100_000)
    """Most requests in progress of one key at one proxy; further ones are answered with 429. null: no limit."""
