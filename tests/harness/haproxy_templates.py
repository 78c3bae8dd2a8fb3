"""What the HAProxy template of each Ray writes, and what this stack makes of it: the files of tests/golden/haproxy/.

    .venv-ray/bin/python -m tests.harness.haproxy_templates templates FOLDER
    .venv/bin/python -m tests.harness.haproxy_templates differences

FOLDER has `VERSION/ray/serve/_private/haproxy_templates.py`, unpacked from the wheel of each Ray. `templates` renders
each template for CASES into `VERSION/CASE.cfg`. `differences` writes what the edits of workloads/edge change in each of
them, as `VERSION/CASE.diff`.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from paths import CHECKOUT

GOLDEN = CHECKOUT / "tests" / "golden" / "haproxy"
CASES = ("no_replicas", "replicas", "router", "router_body")
DIGESTS = ("a1b2c3d4", "e5f6a7b8")
SETTINGS: dict[str, Any] = {
    "post": ["/v1/chat/completions", "/v1/completions"],
    "get": ["/v1/models", "/v1/models/"],
    "probes": ["/ping"],
    "max_body_bytes": 33_554_432,
    "max_requests": 512,
    "affinity": {},
    "keys": {"map": "/etc/rayllm/keys/keys.map", "max_requests": 64},
}
"""Settings of the edge that each difference is written with; a router has no affinity."""
AFFINITY = {"kind": "session_hash", "header": "x-session-id", "load_percent": 150}


def settings(case: str) -> dict[str, Any]:
    """Return the settings of a case, without `loopback`."""
    return SETTINGS | {"affinity": AFFINITY if case == "replicas" else {}}


def render(templates: Path, case: str) -> str:
    """Return what a template file writes for a case. It needs Jinja, which only `.venv-ray` has."""
    import jinja2  # pyright: ignore[reportMissingImports]

    module: dict[str, Any] = {}
    exec(compile(templates.read_text(), str(templates), "exec"), module)
    environment = jinja2.Environment()
    environment.filters["haproxy_fmt"] = str
    context = _context(case)
    for name, template in (("healthz_rules", "HAPROXY_HEALTHZ_RULES_TEMPLATE"),):
        context[name] = environment.from_string(module[template]).render(context)
    return environment.from_string(module["HAPROXY_CONFIG_TEMPLATE"]).render(context) + "\n"


def _context(case: str) -> dict[str, Any]:
    config = _Options(
        log_target="/dev/log",
        socket_path="/tmp/haproxy-serve/n/admin.sock",
        server_state_base="/tmp/haproxy-serve",
        server_state_file="/tmp/haproxy-serve/server-state",
        enable_hap_optimization=True,
        maxconn=4096,
        nbthread=4,
        bufsize=16384,
        hard_stop_after_s=120,
        close_spread_time_s=30,
        timeout_connect_s=5,
        timeout_client_s=3630,
        timeout_server_s=3630,
        timeout_http_keep_alive_s=620,
        retry_on="conn-failure",
        tcp_nodelay=True,
        error_file_path="/tmp/haproxy-serve/500.http",
        balance_algorithm="leastconn",
        metrics_port=9101,
        metrics_uri="/metrics",
        metrics_enabled=True,
        frontend_host="*",
        frontend_port=8000,
        health_check_endpoint="/-/healthz",
        observe_mark_down_enabled=True,
        observe_error_limit=3,
        stats_port=8404,
        stats_uri="/stats",
    )
    router = case.startswith("router")
    servers = [
        _Options(name=f"SERVE_REPLICA__llm_LLMServer_m_{digest}", host=f"10.0.0.{index}", port=30000 + index)
        for index, digest in enumerate(DIGESTS)
    ]
    backend = _Options(
        name="http-llm",
        path_prefix="/",
        app_name="llm",
        ingress_deployment_name="LLMServer:m",
        servers=servers,
        ingress_request_router_servers=[_Options(name="router", host="127.0.0.1", port=30500)] if router else [],
        fallback_server=_Options(name="fallback", host="10.0.0.9", port=8500),
        timeout_http_keep_alive_s=620,
    )
    backends = [] if case == "no_replicas" else [backend]
    health = _Options(
        health_path="/-/healthz", default_server_directive="default-server fastinter 250ms fall 2 rise 3 inter 1s check"
    )
    info = _Options(
        healthy=bool(backends),
        status=200 if backends else 503,
        health_message="success" if backends else "Route table is not populated yet.",
        routes_content_type="application/json" if backends else "text/plain",
        routes_message='{\\"/\\":\\"llm\\"}' if backends else "Route table is not populated yet.",
    )
    return {
        "config": config,
        "backends": backends,
        "backends_with_health_config": [{"backend": each, "health_config": health} for each in backends],
        "health_info": info,
        "route_info": info,
        "has_ingress_request_router": router,
        "ingress_request_router_lua_path": "/tmp/haproxy-serve/n/ingress_request_router.lua",
        "ingress_request_router_timeout_s": 15,
        "ingress_request_router_bufsize": 1048576,
        "ingress_request_router_forward_body": case == "router_body",
        "ingress_request_router_header_prefix": "x-serve-router-",
        "multiplexed_model_id_headers": ("serve_multiplexed_model_id", "serve-multiplexed-model-id"),
        "metrics_enabled": True,
        "metrics_socket_path": "/tmp/haproxy-serve/n/metrics.sock",
        "ingress_request_router_metrics_enabled": False,
    }


class _Options(SimpleNamespace):
    """Options of a template; one that is not set is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def edited(text: str, case: str, *, loopback: bool = False) -> str:
    """Return what the edits make of the configuration of a case."""
    return edited_with(text, {"loopback": loopback, **settings(case)})


def edited_with(text: str, settings: dict[str, Any]) -> str:
    """Return what the edits with these settings make of a configuration."""
    sys.path.insert(0, str(CHECKOUT / "workloads" / "edge"))
    import haproxy_config
    import haproxy_edge

    config = haproxy_config.parse(text)
    haproxy_edge.edit(config, haproxy_edge.EdgeSettings(**settings))
    return config.text()


def difference(text: str, case: str) -> str:
    """Return what the edits change, as a unified diff without context."""
    lines = difflib.unified_diff(text.splitlines(), edited(text, case).splitlines(), "Ray", "this stack", "", "", 0, "")
    return "".join(f"{line.rstrip()}\n" for line in lines)


def write_templates(folder: Path) -> None:
    """Render the templates of every Ray in `folder`."""
    for templates in sorted(folder.glob("*/ray/serve/_private/haproxy_templates.py")):
        version = templates.relative_to(folder).parts[0]
        for case in CASES:
            file = GOLDEN / version / f"{case}.cfg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{line.rstrip()}\n" for line in render(templates, case).splitlines()))


def write_differences() -> None:
    """Write the difference of every recorded configuration."""
    for file in sorted(GOLDEN.glob("*/*.cfg")):
        file.with_suffix(".diff").write_text(difference(file.read_text(), file.stem))


if __name__ == "__main__":
    if sys.argv[1] == "templates":
        write_templates(Path(sys.argv[2]))
    else:
        write_differences()
