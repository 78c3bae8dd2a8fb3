"""Keep HAProxy's API keys as the mounted Secret has them, while it runs.

The postStart hook of a pod starts this script, and it runs beside Ray until the pod ends. The kubelet updates the
mounted file within about a minute after the Secret changed. The script copies it to the file that HAProxy reads when it
starts, and tells the running HAProxy the difference, so that no connection is lost. Standard library only; runs in
Ray's image, mounted from a ConfigMap.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import haproxy_client
import key_map

POLL_INTERVAL_S = 2


def run(mounted: Path, used: Path) -> None:
    """Follow the mounted file forever. `used`: the file that HAProxy reads."""
    while True:
        with contextlib.suppress(OSError):  # HAProxy has not started, or is busy: the next poll tries again
            follow(mounted, used)
        time.sleep(POLL_INTERVAL_S)


def follow(mounted: Path, used: Path) -> None:
    """Copy the keys, and tell HAProxy what has changed. Raises OSError without a HAProxy."""
    wanted = key_map.read(mounted)
    if key_map.read(used) != wanted or not used.exists():
        key_map.write(used, wanted)
    loaded = dict(key_map.LINE.findall(haproxy_client.admin_command(f"show map {used}")))
    for digest in loaded:
        if loaded[digest] != wanted.get(digest):
            haproxy_client.admin_command(f"del map {used} {digest}")
    for digest, name in wanted.items():
        if loaded.get(digest) != name:
            haproxy_client.admin_command(f"add map {used} {digest} {name}")


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
