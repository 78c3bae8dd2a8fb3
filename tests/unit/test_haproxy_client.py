"""What pod scripts read from HAProxy, and that each script finds this module where the ConfigMap puts it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from paths import CHECKOUT
from workloads.edge_settings import EDGE_FOLDER
from workloads.kubernetes.namespace import EDGE_SCRIPTS, POD_SCRIPTS
from workloads.kubernetes.pod_scripts.haproxy_client import open_requests, running_replica_addresses

IDLE = """\
# pxname,svname,qcur,qmax,scur,smax,slim,stot,
http_frontend,FRONTEND,,,3,3,524247,3,
llm-LLMServer,SERVE_REPLICA_1,0,0,0,3,,3,
llm-LLMServer,BACKEND,0,0,0,3,52425,3,
stats,FRONTEND,,,1,1,524247,2,
stats,BACKEND,0,0,1,0,52425,0,
"""
"""Statistics of HAProxy 2.8, their first columns: three clients are connected and send nothing."""
BUSY = IDLE.replace("SERVE_REPLICA_1,0,0,0", "SERVE_REPLICA_1,0,0,3").replace("BACKEND,0,0,0", "BACKEND,0,0,3")


def test_open_requests_are_the_sessions_of_back_ends() -> None:
    assert (open_requests(BUSY), open_requests(IDLE)) == (3, 0)
    with pytest.raises(ValueError, match="not HAProxy's"):
        open_requests("<html>")


def test_only_replicas_that_pass_their_health_checks_are_running() -> None:
    rows = ["SERVE_REPLICA_1 127.0.0.1 2", "SERVE_REPLICA_2 10.0.0.8 0", "SERVE_PROXY_ACTOR-fallback-1 10.0.0.9 2"]
    states = "1\n# srv_name srv_addr srv_op_state\n" + "\n".join(rows) + "\n\n"
    assert running_replica_addresses(states) == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("script", "arguments", "stderr"),
    [
        ("prestop.py", ["2"], ""),
        ("startup_probe.py", ["1", "haproxy", "direct"], "no HAProxy yet (no admin.sock below "),
    ],
)
def test_a_script_runs_with_the_files_of_the_config_map_only(
    tmp_path: Path, script: str, arguments: list[str], stderr: str
) -> None:
    for name in POD_SCRIPTS:
        shutil.copy(CHECKOUT / "workloads" / "kubernetes" / "pod_scripts" / name, tmp_path)
    for name in EDGE_SCRIPTS:
        shutil.copy(EDGE_FOLDER / name, tmp_path)
    env = {"RAY_SERVE_HAPROXY_SOCKET_PATH": str(tmp_path / "admin.sock"), "RAY_SERVE_HAPROXY_STATS_PORT": "1"}
    command = [sys.executable, str(tmp_path / script), *arguments]
    done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=30, check=False)
    assert stderr in done.stderr
    assert done.stderr.startswith(stderr[:1])
    assert done.returncode == (1 if stderr else 0)
