"""Ray's REST API on the local host, with the token of the running head.

Ray runs code for whoever can reach it, and every user of a computer reaches its loopback. So the head requires a token
(RAY_AUTH_MODE=token), which is in a file of the stack's directory that only its owner can read.
Source: Ray, "Ray token authentication"; ray/_private/authentication.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import httpx2

TOKEN_FILE = "auth_token"
TOKEN_PATH_ENV_VAR = "RAY_AUTH_TOKEN_PATH"


def token_file(data_dir: Path) -> Path:
    """Return the file with the token of the head whose files are in `data_dir`."""
    return data_dir / TOKEN_FILE


def write_token(data_dir: Path) -> None:
    """Write a new token, readable for its owner only."""
    file = token_file(data_dir)
    file.touch(mode=0o600)
    file.write_text(secrets.token_hex(32))


def client(dashboard: str, data_dir: Path, timeout_s: float) -> httpx2.Client:
    """Return a client of the REST API. Without a token file, the head has ended, and requests fail."""
    try:
        headers = {"Authorization": f"Bearer {token_file(data_dir).read_text().strip()}"}
    except OSError:
        headers = {}
    return httpx2.Client(base_url=dashboard, headers=headers, timeout=timeout_s, trust_env=False)
