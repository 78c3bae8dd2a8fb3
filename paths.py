"""Where files are: the checkout, and the cache outside it. Every other module names files below these, so that a moved
module finds them unchanged."""

import hashlib
import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent


def cache_dir() -> Path:
    """Return the directory of what clones share: `$XDG_CACHE_HOME/rayllm`, by default `~/.cache/rayllm`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rayllm"


def smollm2_dir() -> Path:
    """Return the cache directory of SmolLM2-135M-Instruct: of the wheel that locks/smollm2.txt pins by hash."""
    lock = (CHECKOUT / "locks" / "smollm2.txt").read_bytes()
    return cache_dir() / f"smollm2-{hashlib.sha256(lock).hexdigest()[:12]}"
