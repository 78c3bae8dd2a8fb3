"""API keys of stack local: the file with their hashes, and the operator's own key.

Both are below `.state/` of the checkout, because they outlive the running stack. The operator's key is the only one
that is kept in clear: `make up`, `make verify` and `make chat` send it. Only the owner of the checkout can read it.
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from infra.contract import LocalHost
from paths import CHECKOUT

OPERATOR = "operator"
FOLDER = CHECKOUT / ".state" / "api-keys"
KEY_PREFIX = "sk-rayllm-"


def map_file(host: LocalHost) -> Path:
    """Return the file with one line `SHA256_OF_KEY NAME` for each key."""
    return FOLDER / f"{host.process_tag}.map"


def operator_file(file: Path) -> Path:
    """Return the file with the operator's key that belongs to a map file."""
    return file.with_suffix(".operator")


def operator_key(file: Path) -> str:
    """Return the operator's key that belongs to a map file; empty if there is none."""
    try:
        return operator_file(file).read_text().strip()
    except OSError:
        return ""


def ensure(file: Path) -> None:
    """Create the map file with a key for the operator, unless it exists."""
    if file.exists() and operator_key(file):
        return
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = new_key()
    for path, text in ((operator_file(file), f"{key}\n"), (file, f"{digest(key)} {OPERATOR}\n")):
        path.touch(mode=0o600)
        path.write_text(text)


def new_key() -> str:
    """Return a new key."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """Return what the map file has of a key."""
    return hashlib.sha256(key.encode()).hexdigest()
