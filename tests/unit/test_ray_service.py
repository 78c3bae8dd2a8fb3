"""The RayService against the other layers: pods request what nodes have, and the timeouts reach every component."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import pulumi
import pytest
import yaml

from config import router_env
from config.data_path import DATA_PATHS, DataPath
from config.timeouts import Timeouts
from tests.unit.ray_services import args, container, manifest, pods, variables
from workloads.kubernetes.disruption_budgets import min_available
from workloads.kubernetes.namespace import POD_SCRIPTS
from workloads.kubernetes.pod_scripts import haproxy_client
from workloads.kubernetes.pod_scripts.readiness import REQUEST_TIMEOUT_S
from workloads.kubernetes.ray_service import NAME_LABEL, WORKERS_ANNOTATION, spec

CLOUDS = ("dev", "staging", "prod")
FIXED_FULL = {"infra.regions.0.node_pools.0.capacity.count": 1, "infra.regions.1.node_pools.0.capacity.count": 1}
"""Prod with one reserved node a region: eight replicas take it whole."""


@pytest.mark.parametrize("stack", CLOUDS)
def test_head_and_workers_have_the_same_environment(stack: str) -> None:
    head, *workers = (variables(pod) for pod in pods(manifest(stack)).values())
    assert workers
    assert all(worker == head for worker in workers)


@pytest.mark.parametrize("path", DataPath)
def test_every_variable_of_the_data_path_is_set(path: DataPath) -> None:
    found = variables(pods(manifest("prod", {"serving.data_path": path.value}))["head"])
    assert found.items() >= DATA_PATHS[path].env_vars.items()


def test_adapters_turn_body_forwarding_on_with_buffers_of_the_worker_s_size() -> None:
    lora = {"serving.model.lora": {"dynamic_lora_loading_path": "gs://bucket/adapters"}}
    assert not {name for name in variables(pods(manifest("dev"))["head"]) if "FORWARD_BODY" in name}
    whole = manifest("dev", lora)
    found = [variables(pod) for pod in pods(whole).values()]
    (group,) = args("dev", lora).plan.worker_groups
    buffer, connections = router_env.body_buffers(group.pod_resources.memory_gib)
    for each in found:
        assert each["RAY_SERVE_INGRESS_REQUEST_ROUTER_FORWARD_BODY"] == "1"
        assert each["RAY_SERVE_HAPROXY_INGRESS_REQUEST_ROUTER_BUFSIZE"] == str(buffer)
        assert each["RAY_SERVE_HAPROXY_MAXCONN"] == str(connections)
    (config,) = whole["serveConfigV2"]["applications"][0]["args"]["llm_configs"]
    assert config["lora_config"]["dynamic_lora_loading_path"] == "gs://bucket/adapters"


def test_adapters_of_the_model_bucket_have_its_url() -> None:
    lora = {"serving.model.lora": {"dynamic_lora_loading_path": "bucket:adapters"}}
    inputs = args("dev", lora)

    async def serve_config() -> str:
        cluster = replace(inputs.cluster, model_bucket_url=pulumi.Output.from_input("gs://made"))
        return await spec(replace(inputs, cluster=cluster))["serveConfigV2"].future()

    (config,) = yaml.safe_load(asyncio.run(serve_config()))["applications"][0]["args"]["llm_configs"]
    assert config["lora_config"]["dynamic_lora_loading_path"] == "gs://made/adapters"


@pytest.mark.parametrize("stack", CLOUDS)
def test_pods_select_the_nodes_labels_and_tolerate_their_taints(stack: str) -> None:
    inputs, found = args(stack), pods(manifest(stack))
    groups = {"head": inputs.cluster.system_pool, **{group.name: group for group in inputs.cluster.gpu_pools}}
    for name, pod in found.items():
        assert pod["nodeSelector"].items() <= groups[name].node_selector.items()
        tolerated = {(t["key"], t["value"], t["effect"]) for t in pod.get("tolerations", [])}
        assert tolerated == {(t.key, t.value, t.effect) for t in groups[name].tolerations}


@pytest.mark.parametrize("stack", CLOUDS)
def test_a_worker_takes_all_gpus_of_its_node_and_fits_it(stack: str) -> None:
    inputs, found = args(stack), pods(manifest(stack))
    for group in inputs.cluster.gpu_pools:
        size = container(found[group.name])["resources"]
        assert size["requests"]["nvidia.com/gpu"] == size["limits"]["nvidia.com/gpu"] == str(group.gpus_per_node)
        assert 0.5 * group.vcpus < int(size["requests"]["cpu"]) < group.vcpus
        assert 0.5 * group.memory_gib < int(size["requests"]["memory"].removesuffix("Gi")) < group.memory_gib
        assert size["requests"]["memory"] == size["limits"]["memory"]


@pytest.mark.parametrize(
    ("stack", "replicas", "low", "high"),
    [
        ("prod", {"kind": "fixed", "num_replicas": 8}, 1, 1),
        ("prod", {"kind": "fixed", "num_replicas": 9}, 2, 2),
        ("staging", {"kind": "autoscaling", "min_replicas": 1, "max_replicas": 16}, 1, 2),
        ("dev", {"kind": "autoscaling", "min_replicas": 2, "max_replicas": 4}, 2, 4),
    ],
)
def test_worker_bounds_hold_the_replicas(stack: str, replicas: dict[str, Any], low: int, high: int) -> None:
    whole = manifest(stack, {"serving.replicas": replicas})
    (group,) = whole["rayClusterConfig"]["workerGroupSpecs"]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (low, low, high)
    assert whole["rayClusterConfig"]["enableInTreeAutoscaling"] == (replicas["kind"] == "autoscaling")


def test_the_autoscaler_s_idle_timeout_comes_from_the_settings() -> None:
    scaling = {"kind": "autoscaling", "min_replicas": 1, "max_replicas": 16, "idle_timeout_s": 77}
    options = manifest("staging", {"serving.replicas": scaling})["rayClusterConfig"]["autoscalerOptions"]
    assert (options["version"], options["idleTimeoutSeconds"]) == ("v2", 77)


def test_an_annotation_has_the_fields_that_kuberay_s_hash_leaves_out() -> None:
    """KubeRay silently ignores a change of bounds and tolerations alone."""

    def annotation(replicas: int) -> str:
        whole = manifest("prod", {"serving.replicas.num_replicas": replicas})
        return whole["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["metadata"]["annotations"][
            WORKERS_ANNOTATION
        ]

    assert annotation(8) == "1-1 nvidia.com/gpu=present:NoSchedule"
    assert annotation(16) == "2-2 nvidia.com/gpu=present:NoSchedule"


def test_kuberay_starts_a_second_cluster_only_if_the_pools_can_hold_two() -> None:
    assert args("prod").plan.second_ray_cluster_fits
    assert manifest("prod")["upgradeStrategy"] == {"type": "NewCluster"}
    assert not args("prod", FIXED_FULL).plan.second_ray_cluster_fits
    assert manifest("prod", FIXED_FULL)["upgradeStrategy"] == {"type": "None"}


def test_the_head_receives_no_requests_and_runs_no_replica() -> None:
    whole = manifest("prod")
    assert whole["excludeHeadPodFromServeSvc"] is True
    start = whole["rayClusterConfig"]["headGroupSpec"]["rayStartParams"]
    assert (start["num-cpus"], start["num-gpus"]) == ("0", "0")


@pytest.mark.parametrize("stack", CLOUDS)
def test_only_the_head_of_an_autoscaled_cluster_may_call_the_api_server(stack: str) -> None:
    whole = manifest(stack)
    scaled = whole["rayClusterConfig"]["enableInTreeAutoscaling"]
    for name, pod in pods(whole).items():
        assert pod["automountServiceAccountToken"] is (scaled and name == "head")
    accounts = {name: pod["serviceAccountName"] for name, pod in pods(whole).items()}
    assert accounts.pop("head") == "ray-head"
    assert set(accounts.values()) == {"ray-worker"}


@pytest.mark.parametrize("stack", CLOUDS)
def test_no_container_runs_as_root_or_gains_rights(stack: str) -> None:
    for pod in pods(manifest(stack)).values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container(pod)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


def test_every_pod_has_the_label_that_policies_and_budgets_select() -> None:
    cluster = manifest("dev")["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group["template"]["metadata"]["labels"][NAME_LABEL] == "llm"


WORDS = {"direct": " haproxy direct", "haproxy": " haproxy", "8000": ""}
"""Last argument of the startup probe -> what readiness.py gets."""


@pytest.mark.parametrize("stack", CLOUDS)
@pytest.mark.parametrize(
    ("path", "last"),
    [("direct_streaming", "direct"), ("haproxy", "haproxy"), ("least_connections", "direct"), ("python_proxy", "8000")],
)
def test_a_worker_is_ready_once_it_has_answered_a_request(stack: str, path: str, last: str) -> None:
    found = pods(manifest(stack, {"serving.data_path": path}))
    head, *workers = (container(found[name]) for name in sorted(found, key=lambda name: name != "head"))
    assert "startupProbe" not in head
    for worker in workers:
        probe = worker["startupProbe"]
        _python, script, port, *_ = probe["exec"]["command"]
        assert (script, port, probe["exec"]["command"][-1]) == ("/opt/rayllm/startup_probe.py", "8000", last)
        ready = worker["readinessProbe"]
        for each in (probe, ready):
            assert each["timeoutSeconds"] > 2 * REQUEST_TIMEOUT_S + haproxy_client.TIMEOUT_S
        assert ready["failureThreshold"] == 1, "the Service drops it at once"
        background = " ".join(worker["lifecycle"]["postStart"]["exec"]["command"])
        assert f"readiness.py {ready['httpGet']['port']} 8000{WORDS[last]};" in background


def test_the_config_map_has_the_scripts_that_hooks_and_probes_run() -> None:
    worker = container(pods(manifest("prod", {"serving.api_keys": {}}))["a4"])
    hooks = [worker["startupProbe"], *worker["lifecycle"].values()]
    commands = [" ".join(hook["exec"]["command"]) for hook in hooks]
    run = {name for command in commands for name in re.findall(r"python /opt/rayllm/(\S+)", command)}
    imported = {"haproxy_client.py", "rayllm_weights.py", "weights_download.py"}  # by the scripts, and by Ray
    assert {*run, *imported} == set(POD_SCRIPTS)
    assert "/opt/rayllm" in [each["mountPath"] for each in worker["volumeMounts"]]


def test_without_haproxy_no_script_closes_connections() -> None:
    worker = container(pods(manifest("prod", {"serving.data_path": "python_proxy"}))["a4"])
    assert "close_keepalive.py" not in str(worker["lifecycle"])


def test_no_fixed_storage_namespace() -> None:
    """A new RayCluster would load the state of the one that it replaces."""
    assert "externalStorageNamespace" not in str(manifest("prod"))


@pytest.mark.parametrize("request_timeout_s", [30, 600, 3400])
def test_each_layer_waits_longer_than_the_layer_behind_it(request_timeout_s: int) -> None:
    t = Timeouts(request_timeout_s)
    assert request_timeout_s < t.haproxy_timeout_s < t.backend_timeout_s < t.client_timeout_s
    assert t.connection_draining_s >= t.haproxy_timeout_s
    assert t.graceful_shutdown_timeout_s > request_timeout_s
    assert t.termination_grace_period_s > max(
        t.graceful_shutdown_timeout_s, t.haproxy_hard_stop_after_s, t.prestop_timeout_s
    )
    assert t.prestop_timeout_s >= max(request_timeout_s, t.proxy_min_draining_period_s)
    assert t.proxy_min_draining_period_s > t.load_balancer_propagation_s
    assert t.ray_cluster_deletion_delay_s > t.connection_draining_s


def test_the_timeouts_reach_pods_and_serve() -> None:
    whole = manifest("prod", {"serving.kubernetes.releases.r1.request_timeout_s": 100})
    found = variables(pods(whole)["a4"])
    assert found["RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S"] == found["RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S"] == "110"
    assert found["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"] == "120"
    assert found["RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S"] == "130"
    hooks = container(pods(whole)["a4"])["lifecycle"]
    assert hooks["preStop"]["exec"]["command"][-1] == "130"
    assert "close_keepalive.py 8000 120;" in hooks["postStart"]["exec"]["command"][-1], "before the proxy ends, at 130"
    assert pods(whole)["a4"]["terminationGracePeriodSeconds"] == 140
    serve = whole["serveConfigV2"]
    assert serve["http_options"]["request_timeout_s"] == 100
    (config,) = serve["applications"][0]["args"]["llm_configs"]
    assert config["deployment_config"]["graceful_shutdown_timeout_s"] == 110


def test_token_authentication_is_on_only_if_the_release_says_so() -> None:
    on, off = manifest("prod", {"serving.kubernetes.releases.r1.ray_auth_mode": "token"}), manifest("prod")
    assert on["rayClusterConfig"]["authOptions"] == {"mode": "token"}
    assert "authOptions" not in off["rayClusterConfig"]
    assert variables(pods(off)["head"])["RAY_AUTH_MODE"] == "disabled"
    assert "RAY_AUTH_MODE" not in variables(pods(on)["head"])


def test_kubernetes_evicts_one_worker_at_a_time() -> None:
    assert min_available(args("prod").plan.worker_groups) == 1
    assert (
        min_available(args("dev", {"serving.replicas": {"kind": "fixed", "num_replicas": 4}}).plan.worker_groups) == 3
    )


def test_a_release_affects_its_regions_only() -> None:
    edit = {
        "serving.kubernetes.releases.r2": {
            "image": f"rayproject/ray-llm@sha256:{64 * 'a'}",
            "replicas": {"kind": "fixed", "num_replicas": 4},
            "engine": {"max_model_len": 8192},
        },
        "infra.regions.0.release": "r1",
        "infra.regions.1.release": "r2",
    }
    old, new = (args("prod", edit, region=region) for region in (0, 1))
    assert (old.plan.service.replicas.max_replicas, old.plan.service.engine.max_model_len) == (8, 4096)
    assert (new.plan.service.replicas.max_replicas, new.plan.service.engine.max_model_len) == (4, 8192)
    assert new.plan.service.model == old.plan.service.model
    assert new.release.image.endswith(64 * "a")
