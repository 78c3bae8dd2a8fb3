"""`make verify` of a stack in a cluster: it checks every pod through kubectl, and reports each difference."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paths import CHECKOUT
from tests.node.conftest import Stack
from tests.node.record import Section
from tools.cli import VERIFY_PYTEST_ARGS
from verify import test_regions, test_serving
from verify.declared import NETWORK_POLICY, RAY_SERVICE


def verify(stack: Stack, state: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `make verify`'s checks against an exported state."""
    file = folder / "state.json"
    file.write_text(json.dumps(state))
    env = {**os.environ, "PATH": stack.node.program_env["PATH"], "RAYLLM_STATE": str(file)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *VERIFY_PYTEST_ARGS], cwd=CHECKOUT, env=env, capture_output=True, text=True
    )


def check_counts(output: str, verdict: str) -> Counter[str]:
    """Return how many times each check has the verdict."""
    return Counter(re.findall(rf"::(test_\w+)\S* {verdict}", output))


def name(check: Callable[..., None]) -> str:
    """Return the name of a check of `make verify`."""
    return check.__name__


def test_verify_passes_for_every_pod(stack: Stack, proof: Section, tmp_path: Path) -> None:
    run = verify(stack, stack.project.export(), tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    proof.block("`make verify`", [line for line in run.stdout.splitlines() if re.search("PASSED| passed", line)])
    workers, pods = len(stack.ready_pods("worker")), len(stack.ready_pods("worker")) + 1
    assert check_counts(run.stdout, "PASSED") == {
        name(test_regions.test_head_and_workers_are_there): 1,
        name(test_regions.test_a_pod_is_ready_and_runs_the_declared_image): pods,
        name(test_regions.test_the_dashboard_is_closed_to_others): 1,
        name(test_serving.test_the_declared_proxy_holds_the_port): workers,
        name(test_serving.test_a_request_is_answered): workers,
        name(test_serving.test_tokens_come_by_the_declared_path): workers,
        name(test_serving.test_vllm_runs_on_rays_second_executor): 1,
        name(test_serving.test_the_environment_is_as_declared): pods,
        name(test_serving.test_versions_are_as_declared): pods,
        name(test_serving.test_metrics_can_be_scraped): pods,
        name(test_serving.test_vllm_has_metrics_in_a_replica): 1,
    }


def test_verify_fails_for_each_difference_from_the_state(stack: Stack, tmp_path: Path) -> None:
    """Differences: a variable of the head, the image and number of the workers, and the name of a network policy."""
    state = stack.project.export()
    resources = state["deployment"]["resources"]
    (service,) = (each for each in resources if each["type"] == RAY_SERVICE)
    cluster = service["inputs"]["spec"]["rayClusterConfig"]
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    next(each for each in head["env"] if each["name"] == "RAY_USAGE_STATS_ENABLED")["value"] = "1"
    (group,) = cluster["workerGroupSpecs"]
    group["template"]["spec"]["containers"][0]["image"] = head["image"][:-4] + "0000"
    group["minReplicas"] = group["maxReplicas"] = 9
    next(each for each in resources if each["type"] == NETWORK_POLICY)["inputs"]["metadata"]["name"] = "gone"
    run = verify(stack, state, tmp_path)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    assert check_counts(run.stdout, "FAILED") == {
        name(test_regions.test_head_and_workers_are_there): 1,
        name(test_regions.test_a_pod_is_ready_and_runs_the_declared_image): len(stack.ready_pods("worker")),
        name(test_regions.test_the_dashboard_is_closed_to_others): 1,
        name(test_serving.test_the_environment_is_as_declared): 1,
    }
    assert re.search("RAY_USAGE_STATS_ENABLED is 0 instead of 1 in .*gcs_server", run.stdout)
