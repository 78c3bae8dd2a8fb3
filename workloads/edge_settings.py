"""Environment variables with which the edge starts: what it lets through, and the hooks of Ray that it hangs on.

On paths with HAProxy, Ray starts `edge/haproxy_wrapper.py` in place of HAProxy. On `python_proxy`, Ray puts
`edge/serve_middlewares.py` around Serve's proxy. Both read the same settings.
"""

from __future__ import annotations

import json
from typing import Any

from config.data_path import DATA_PATHS
from config.model_service import ModelService
from config.request_routers import HashedAffinity
from config.routes import public_paths
from paths import CHECKOUT

EDGE_FOLDER = CHECKOUT / "workloads" / "edge"
WRAPPER = "haproxy_wrapper.py"
MIDDLEWARES = "serve_middlewares:middlewares"
SETTINGS = "RAYLLM_EDGE_SETTINGS"
PROBES = {True: ["/ping"], False: ["/detokenize"]}
"""Direct data path or not -> the routes that pod_scripts/readiness.py asks from inside the pod. They are open to
callers on the node itself: on the local host to every caller."""


def env_vars(service: ModelService, folder: str, keys: str, *, loopback: bool, binary: str = "") -> dict[str, str]:
    """Return the variables of all Ray processes.

    `folder`: where the files of workloads/edge are. `keys`: file with the API keys. `loopback`: every listener on
    127.0.0.1. `binary`: HAProxy; empty for the one of Ray's image.
    """
    path = DATA_PATHS[service.data_path]
    variables = {SETTINGS: json.dumps(settings(service, keys, loopback=loopback, binary=binary), sort_keys=True)}
    if path.haproxy:
        # The image of Ray 2.56 prefers the HAProxy of a package to this path if the second variable is set.
        return variables | {
            "RAY_SERVE_HAPROXY_BINARY_PATH": f"{folder}/{WRAPPER}",
            "RAY_SERVE_EXPERIMENTAL_PIP_HAPROXY": "0",
        }
    return variables | {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": MIDDLEWARES}


def settings(service: ModelService, keys: str, *, loopback: bool, binary: str = "") -> dict[str, Any]:
    """Return the fields of `EdgeSettings` (edge/haproxy_edge.py), and `binary`."""
    direct = DATA_PATHS[service.data_path].direct
    router = service.request_router
    return {
        "binary": binary,
        "loopback": loopback,
        "post": public_paths("POST", direct=direct),
        "get": public_paths("GET", direct=direct),
        "probes": PROBES[direct],
        "max_body_bytes": service.limits.max_body_mib * 2**20,
        "max_requests": service.limits.max_requests or 0,
        "affinity": router.model_dump() if isinstance(router, HashedAffinity) else {},
        "keys": {} if service.api_keys is None else {"map": keys, "max_requests": service.api_keys.max_requests or 0},
    }
