"""What the edge refuses, so that no caller takes the memory or the time of others. Refusals cost no replica anything.

A request in progress is one that its proxy has sent to a replica and that has not ended. HAProxy counts them; on
`python_proxy` Serve's proxy does. Bodies pass through HAProxy in pieces and cost it no memory, unless a request router
needs them (config/router_env.py).
"""

from __future__ import annotations

from pydantic import Field

from config.base import Settings


class Limits(Settings):
    """Limits of requests at each proxy, of which every node with a replica has one."""

    max_body_mib: int = Field(default=32, ge=1, le=1024)
    """Largest request body in MiB; a larger one is answered with 413. Recordings and images are in the body."""
    max_requests: int | None = Field(default=None, ge=1, le=100_000)
    """Most requests in progress at one proxy; further ones are answered with 429 and `Retry-After`. null: no limit."""
