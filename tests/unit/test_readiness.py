"""The waits, against recorded states and a small API server.

The RayService states are recordings of KubeRay 1.6.1 under a real API server 1.37.2, on simulated nodes and a stand-in
for Ray's API (so Serve's own messages are the stand-in's); fields that nothing reads are left out.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi.dynamic.dynamic import serialize_provider

from tests.unit.test_haproxy_client import BUSY, IDLE
from workloads.dynamic_provider import OperationFailed
from workloads.kubernetes.readiness import (
    crds,
    gateway_status,
    objects,
    ray_service,
    ray_service_deletion,
    region_drain,
    wait,
)
from workloads.kubernetes.readiness.crds import CrdsEstablishedProvider
from workloads.kubernetes.readiness.gateway import GatewayProgrammedProvider
from workloads.kubernetes.readiness.objects import RAY_API, SERVICE_EXPORT_API
from workloads.kubernetes.readiness.ray_service_deletion import RayServiceDeletedProvider
from workloads.kubernetes.readiness.ray_service_status import evaluate
from workloads.kubernetes.readiness.region_drain import RegionDrainedProvider
from workloads.kubernetes.readiness.spec_difference import first_difference
from workloads.kubernetes.readiness.wait import Failed, InProgress, State, Succeeded, WarningEvents

RECORDED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "ray_service_states.json").read_text())
SERVICE = f"{RAY_API}/namespaces/serving/rayservices/svc"
CLUSTERS = f"{RAY_API}/namespaces/serving/rayclusters"
PODS = "/api/v1/namespaces/serving/pods"
EVENTS = "/api/v1/namespaces/serving/events"
SERVE = "/api/v1/namespaces/serving/services/svc-serve-svc"


def state_of(name: str, change: Callable[[dict[str, Any]], None] = lambda _: None, has_service: bool = True) -> State:
    """Return the state of a recording, as it is or changed."""
    state = deepcopy(RECORDED[name])
    change(state)
    return evaluate(state["service"], state["clusters"], state["pods"], state["events"], has_service)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("ready", Succeeded, ["Ready: RayCluster svc-8pdq7, 1 serving pod(s), llm"]),
        ("in_place_deploying", InProgress, ["llm DEPLOYING (LLMServer:other UPDATING)"]),
        ("bounds_ignored", Failed, ["workerGroupSpecs[gpu].maxReplicas: 1, not 2"]),
        (
            "refused",
            Failed,
            ["KubeRay rejects the spec: The RayService spec is invalid: worker group gpu has minReplicas 3"],
        ),
        (
            "no_room",
            InProgress,
            ["waiting for GPUs: 1 of 2 workers scheduled (pod svc-7lxdq-gpu-worker-", "svc-8pdq7 keeps serving"],
        ),
        ("not_submitted", Failed, ["Serve rejects the configuration", "error converting YAML to JSON"]),
        ("deploy_failed", Failed, ["application llm is DEPLOY_FAILED"]),
        ("no_account", Failed, ["cannot create the head pod", 'serviceaccount "nobody" not found']),
    ],
)
def test_each_recorded_state_is_recognised(name: str, kind: type[State], words: list[str]) -> None:
    found = state_of(name)
    assert isinstance(found, kind)
    assert [word for word in words if word not in found.text] == []


def test_the_remedy_for_a_second_cluster_without_gpus_warns_of_reverting() -> None:
    found = state_of("no_room")
    assert isinstance(found, InProgress)
    assert "svc-7lxdq does not fit beside svc-8pdq7" in found.remedy
    assert "a third RayCluster" in found.remedy


def test_a_rejection_says_what_keeps_running_and_what_to_do() -> None:
    found = state_of("refused")
    assert isinstance(found, Failed)
    assert (
        "greater than maxReplicas 1. RayCluster svc-8pdq7 keeps running unchanged. Correct the settings"
        in found.message
    )


def test_the_rejection_of_an_earlier_spec_does_not_count() -> None:
    def corrected(state: dict[str, Any]) -> None:
        metadata = state["service"]["metadata"]
        metadata["generation"] += 1
        metadata["managedFields"][0]["time"] = "2026-11-24T23:00:00Z"

    assert state_of("refused", corrected) == InProgress(
        "KubeRay has not observed the spec yet", "Check that KubeRay's operator runs (GKE's Ray Operator add-on)."
    )


def test_the_event_alone_shows_a_rejection() -> None:
    """Operators before 1.6 set no condition."""

    def without_conditions(state: dict[str, Any]) -> None:
        state["service"]["status"]["conditions"] = []

    found = state_of("refused", without_conditions)
    assert isinstance(found, Failed)
    assert found.text.startswith("KubeRay rejects the spec: The RayService spec is invalid")


def test_ready_is_not_enough_without_the_service_that_is_exported() -> None:
    found = state_of("ready", has_service=False)
    assert isinstance(found, InProgress)
    assert "svc-serve-svc" in found.text


def no_endpoints(state: dict[str, Any]) -> None:
    state["service"]["status"]["numServeEndpoints"] = 0


def a_further_application(state: dict[str, Any]) -> None:
    state["service"]["spec"]["serveConfigV2"] += "- {import_path: x:y, name: more}\n"


def still_two_clusters(state: dict[str, Any]) -> None:
    status = state["service"]["status"]
    status["pendingServiceStatus"] = {**status["activeServiceStatus"], "rayClusterName": "svc-new"}
    state["clusters"].append({"metadata": {"name": "svc-new"}, "spec": state["clusters"][0]["spec"]})
    for pod in deepcopy(state["pods"]):
        pod["metadata"]["labels"]["ray.io/cluster"] = "svc-new"
        state["pods"].append(pod)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_endpoints, "0 pod(s) serve"),
        (a_further_application, "Serve has not started the applications"),
        (still_two_clusters, "KubeRay is switching traffic"),
    ],
)
def test_kuberays_ready_alone_is_not_enough(change: Callable[[dict[str, Any]], None], words: str) -> None:
    found = state_of("ready", change)
    assert isinstance(found, InProgress)
    assert words in found.text


def waiting(reason: str, **more: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change after which the worker's container waits, in the kubelet's words."""

    def change(state: dict[str, Any]) -> None:
        no_endpoints(state)
        (worker,) = (p for p in state["pods"] if p["metadata"]["labels"]["ray.io/node-type"] == "worker")
        worker["status"]["conditions"] = [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "False"},
        ]
        worker["status"]["containerStatuses"] = [
            {"name": "ray-worker", "state": {"waiting": {"reason": reason, "message": "Back-off: no"}}, **more}
        ]

    return change


def test_a_pod_that_never_starts_is_a_failure_with_the_kubelets_words() -> None:
    found = state_of("ready", waiting("ImagePullBackOff"))
    assert isinstance(found, Failed)
    assert "does not start: ImagePullBackOff: Back-off: no. Check that the release's image exists" in found.message


def test_a_container_that_ended_says_how() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    found = state_of("ready", waiting("CrashLoopBackOff", lastState=ended))
    assert isinstance(found, Failed)
    assert "it ended before with exit code 137 (OOMKilled)" in found.text


def test_images_being_pulled_are_progress() -> None:
    def first_time(state: dict[str, Any]) -> None:
        waiting("ContainerCreating")(state)
        state["service"]["status"]["activeServiceStatus"].pop("applicationStatuses")

    found = state_of("ready", first_time)
    assert isinstance(found, InProgress)
    assert found.text.startswith("pulling images and mounting volumes: 1 of 2 pods ready (pod svc-8pdq7-gpu-worker-")


def worker_of(state: dict[str, Any]) -> dict[str, Any]:
    return next(p for p in state["pods"] if p["metadata"]["labels"]["ray.io/node-type"] == "worker")


def evicted(state: dict[str, Any]) -> None:
    no_endpoints(state)
    status = {"phase": "Failed", "reason": "Evicted", "message": "Container ray-worker exceeded its local storage"}
    worker_of(state)["status"] = {"conditions": [{"type": "PodScheduled", "status": "True"}], **status}


def warned(state: dict[str, Any], reason: str, message: str) -> None:
    """Add a Warning event about the worker."""
    involved = {"kind": "Pod", "name": worker_of(state)["metadata"]["name"]}
    event = {"type": "Warning", "reason": reason, "message": message, "lastTimestamp": "2099-01-01T00:00:00Z"}
    state["events"].append({**event, "involvedObject": involved})


def not_mounted(state: dict[str, Any]) -> None:
    waiting("ContainerCreating")(state)
    worker_of(state)["status"]["conditions"].append({"type": "PodReadyToStartContainers", "status": "False"})
    warned(state, "FailedMount", 'MountVolume.SetUp failed for volume "t": secret "huggingface-token" not found')


def over_quota(state: dict[str, Any]) -> None:
    warned(state, "FailedScaleUp", "Node scale up in zones us-central1-b failed: GCE quota exceeded.")
    worker_of(state)["status"] = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]}
    no_endpoints(state)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (evicted, "does not start: Evicted: Container ray-worker exceeded its local storage. KubeRay creates it again"),
        (not_mounted, 'FailedMount: MountVolume.SetUp failed for volume "t": secret "huggingface-token" not found'),
        (over_quota, "GCE quota exceeded. Raise the project's quota"),
        (
            waiting("ErrImageNeverPull"),
            "does not start: ErrImageNeverPull: Back-off: no. Check that the release's image",
        ),
    ],
)
def test_a_pod_that_cannot_start_fails_in_minutes(change: Callable[[dict[str, Any]], None], words: str) -> None:
    found = state_of("ready", change)
    assert isinstance(found, Failed), found
    assert words in found.message
    assert found.grace_s <= 600


def test_a_pod_whose_volumes_are_mounted_pulls_images() -> None:
    """The event of an attempt to mount that failed stays for an hour, and image pulls take minutes."""

    def mounted(state: dict[str, Any]) -> None:
        not_mounted(state)
        worker_of(state)["status"]["conditions"][-1]["status"] = "True"
        state["service"]["status"]["activeServiceStatus"].pop("applicationStatuses")

    assert isinstance(state_of("ready", mounted), InProgress)


def test_gpus_that_are_out_of_stock_are_waited_for() -> None:
    def out_of_stock(state: dict[str, Any]) -> None:
        over_quota(state)
        state["events"][-1]["message"] = "Node scale up in zones us-central1-b failed: GCE out of resources."

    assert isinstance(state_of("ready", out_of_stock), InProgress)


def test_undeclared_fields_are_no_difference() -> None:
    declared = {"head": {"containers": [{"name": "ray-head", "image": "a"}]}, "sizes": [1, 2]}
    actual = {"head": {"containers": [{"name": "log", "image": "x"}, {"name": "ray-head", "image": "a", "tty": True}]}}
    assert first_difference(declared, {**actual, "sizes": [1, 2, 3]}) is None
    assert first_difference(declared, {**actual, "sizes": [1, 3]}) == "sizes[1]: 3, not 2"
    assert first_difference(declared, {"head": {"containers": []}, "sizes": [1, 2]}) is not None


def test_a_declared_empty_value_may_be_missing() -> None:
    """KubeRay writes its objects back without it (Go's `omitempty`)."""
    assert first_difference({"annotations": {}, "volumes": []}, {}) is None
    assert first_difference({"annotations": {}}, {"annotations": {"a": "b"}}) is None
    assert first_difference({"annotations": {"a": "b"}}, {}) == "annotations: None, not {'a': 'b'}"


def test_a_warning_names_its_object_once(capsys: pytest.CaptureFixture[str]) -> None:
    def event(kind: str, name: str) -> dict[str, Any]:
        return {"involvedObject": {"kind": kind, "name": name}, "reason": "Evicted", "message": "no\n disk"}

    WarningEvents("RayService a").show([event("RayService", "a"), event("Pod", "b"), event("Pod", "b")])
    assert capsys.readouterr().err == "RayService a: Evicted: no disk\nRayService a: Pod b: Evicted: no disk\n"


# The tests below run against a small API server.


class FakeApi:
    """Answers each path with (status, JSON or text) in turn; the last answer stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                path = self.path.partition("?")[0]
                fake.requests.append(f"{self.command} {path}")
                fake.headers.append(dict(self.headers))
                turns = fake.answers.get(path, [(404, {"message": "not found"})])
                status, body = turns.pop(0) if len(turns) > 1 else turns[0]
                if self.command == "DELETE" and status == 200:
                    fake.answers.pop(path)
                content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_DELETE = _answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def put(self, path: str, *bodies: Any, status: int = 200) -> None:
        self.answers[path] = [body if isinstance(body, tuple) else (status, body) for body in bodies]

    def put_state(self, *names: str) -> None:
        """Recordings, one after the other."""
        states = [RECORDED[name] for name in names]
        self.put(SERVICE, *(state["service"] for state in states))
        for path, key in ((CLUSTERS, "clusters"), (PODS, "pods"), (EVENTS, "events")):
            self.put(path, *({"items": state[key]} for state in states))
        self.put(SERVE, {})

    def kubeconfig(self, user: dict[str, Any] | None = None) -> str:
        server = f"http://127.0.0.1:{self.server.server_address[1]}"
        return yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": user or {"token": "t"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "c",
            }
        )


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(wait, "POLL_INTERVAL_S", 0.01)
    monkeypatch.setattr(region_drain, "STATS_POLL_INTERVAL_S", 0.01)
    monkeypatch.setattr(ray_service, "STABLE_FOR_S", 0.2)
    fake = FakeApi()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


def service_props(api: FakeApi, **more: Any) -> dict[str, Any]:
    return {
        "kubeconfig": api.kubeconfig(),
        "namespace": "serving",
        "service": "svc",
        "spec_digest": "1",
        "wait": True,
        "limit_s": 60.0,
        **more,
    }


def provider(of: type) -> Any:
    """Return a provider after checking how Pulumi keeps it in the state: a reference to the class, none of its code."""
    made = of()
    assert len(serialize_provider(made)) < 500
    return made


RAY_SERVICE = ray_service.RayServiceReadyProvider
CRDS = CrdsEstablishedProvider
DRAINED = RegionDrainedProvider
GATEWAY_PROGRAMMED = GatewayProgrammedProvider


def test_a_status_that_looks_ready_for_a_moment_is_not_trusted(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    """KubeRay reports the change as observed before Serve has started to apply it."""
    api.put_state("in_place_not_yet_told", "in_place_deploying", "ready")
    made = provider(RAY_SERVICE).create(service_props(api))
    assert made.outs["status"] == "Ready"
    assert (made.outs["cluster"], made.outs["endpoints"]) == ("svc-8pdq7", 1)
    assert "RayService svc: Serve: llm DEPLOYING" in capsys.readouterr().err


def test_without_a_wait_the_status_is_declared_and_no_request_is_sent(api: FakeApi) -> None:
    props = service_props(api, wait=False)
    made = provider(RAY_SERVICE).create(props)
    assert made.outs["status"] == "declared"
    assert api.requests == []
    assert not provider(RAY_SERVICE).diff("", made.outs, props).changes


def test_a_failure_must_last_and_then_ends_the_wait(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workloads.kubernetes.readiness.ray_service_status.VALIDATION_GRACE_S", 0.1)
    api.put_state("refused", "ready")
    assert provider(RAY_SERVICE).create(service_props(api)).outs["status"] == "Ready"
    api.put_state("refused")
    with pytest.raises(OperationFailed, match="KubeRay rejects RayService svc"):
        provider(RAY_SERVICE).create(service_props(api))


def test_the_message_at_the_limit_names_the_state_and_a_remedy(api: FakeApi) -> None:
    api.put_state("no_room")
    with pytest.raises(OperationFailed, match=r"not ready after 0 s: waiting for GPUs: 1 of 2 .* a third RayCluster"):
        provider(RAY_SERVICE).create(service_props(api, limit_s=0.05))


def test_an_operators_warning_is_shown_once(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    warned = deepcopy(RECORDED["ready"])
    event = {**RECORDED["no_account"]["events"][0], "lastTimestamp": "2026-11-24T23:00:00Z"}
    event["involvedObject"] = {"kind": "RayCluster", "name": "svc-8pdq7"}
    api.put_state("ready")
    api.put(EVENTS, {"items": [*warned["events"], event]})
    provider(RAY_SERVICE).create(service_props(api))
    shown = [line for line in capsys.readouterr().err.splitlines() if "FailedTo" in line or "Invalid" in line]
    assert len(shown) == 1, "older warnings of a RayService of the same name are not of this one"
    assert shown[0].startswith("RayService svc: RayCluster svc-8pdq7: FailedToCreateHeadPod: Failed to create head Pod")


def test_an_api_server_that_restarts_is_waited_for(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.put_state("ready")
    ready = api.answers[SERVICE][0]
    api.put(SERVICE, (503, {"message": "apiserver not ready"}), (429, "slow down"), ready)
    assert provider(RAY_SERVICE).create(service_props(api)).outs["status"] == "Ready"
    assert "the API server does not answer (HTTP 503: apiserver not ready)" in capsys.readouterr().err


def test_a_missing_permission_is_named(api: FakeApi) -> None:
    api.put(SERVICE, {"message": "rayservices is forbidden"}, status=403)
    with pytest.raises(
        OperationFailed, match=r"denies GET .*/rayservices/svc \(rayservices is forbidden\)\. Grant this permission"
    ):
        provider(RAY_SERVICE).create(service_props(api))


def test_after_a_refresh_that_finds_a_problem_the_next_up_waits_again(api: FakeApi) -> None:
    before = service_props(api, status="Ready", cluster="svc-8pdq7", endpoints=1.0)
    api.put_state("ready")
    after = provider(RAY_SERVICE).read("serving/svc", before)
    assert (after.id, after.outs) == ("serving/svc", before), "no drift"
    api.put_state("no_room")
    after = provider(RAY_SERVICE).read("serving/svc", before)
    assert after.id == "serving/svc"
    assert after.outs["status"].startswith("waiting for GPUs")
    assert provider(RAY_SERVICE).diff("", after.outs, service_props(api)).changes
    del api.answers[SERVICE]
    assert provider(RAY_SERVICE).read("serving/svc", before).id == ""


@pytest.mark.parametrize(
    ("edit", "changes", "replaces"),
    [
        ({}, False, []),
        ({"limit_s": 7.0}, False, []),
        ({"spec_digest": "2"}, True, []),
        ({"service": "other"}, True, ["service"]),
    ],
)
def test_an_edit_of_the_wait_updates_or_replaces_it(
    api: FakeApi, edit: dict[str, Any], changes: bool, replaces: list[str]
) -> None:
    olds = service_props(api, status="Ready")
    found = provider(RAY_SERVICE).diff("", olds, service_props(api, **edit))
    assert (found.changes, found.replaces) == (changes, replaces)


def crd(established: bool) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": "Established", "status": str(established)}]}}


def test_crds_are_awaited_until_they_are_established(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"{crds.CRD_API}/rayservices.ray.io"
    api.put(path, (404, {}), crd(False), crd(True))
    props = {"kubeconfig": api.kubeconfig(), "crds": ["rayservices.ray.io"]}
    assert provider(CRDS).create(props).outs["status"] == "Established"
    printed = capsys.readouterr().err
    assert "rayservices.ray.io (not installed)" in printed
    assert "rayservices.ray.io (not established)" in printed
    assert provider(CRDS).read("established", props).id == "established"
    api.put(path, {}, status=404)
    assert provider(CRDS).read("established", props).id == ""


def test_missing_crds_are_named_with_the_feature_that_installs_them(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crds, "CRDS_LIMIT_S", 0.05)
    api.put(f"{crds.CRD_API}/rayservices.ray.io", crd(True))
    props = {"kubeconfig": api.kubeconfig(), "crds": ["rayservices.ray.io", "serviceexports.net.gke.io"]}
    with pytest.raises(OperationFailed) as failed:
        provider(CRDS).create(props)
    assert "serviceexports.net.gke.io comes with the fleet's feature multiclusterservicediscovery" in str(failed.value)
    assert "Ray Operator" not in str(failed.value)


def test_only_missing_crds_are_named(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of one CRD may contain that of another."""
    monkeypatch.setattr(crds, "CRDS_LIMIT_S", 0.05)
    api.put(f"{crds.CRD_API}/services.ray.io", crd(True))
    props = {"kubeconfig": api.kubeconfig(), "crds": ["services.ray.io", "rayservices.ray.io"]}
    with pytest.raises(OperationFailed) as failed:
        provider(CRDS).create(props)
    assert str(failed.value).count("comes with") == 1


PLUGIN = """\
import json, os, sys
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert info["kind"] == "ExecCredential" and info["spec"]["cluster"]["server"].startswith("http://127.0.0.1")
print(json.dumps({"status": {"token": "of-" + info["apiVersion"].rpartition("/")[2]}}))
"""


def exec_user(*command: str) -> dict[str, Any]:
    """As in infra/google/cluster.py."""
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": command[0],
        "args": list(command[1:]),
        "installHint": "Install it.",
        "interactiveMode": "Never",
        "provideClusterInfo": True,
    }
    return {"exec": plugin}


def test_a_credential_plugin_gets_the_cluster_s_data(api: FakeApi) -> None:
    api.put(f"{crds.CRD_API}/a.ray.io", crd(True))
    kubeconfig = api.kubeconfig(exec_user(sys.executable, "-c", PLUGIN))
    provider(CRDS).create({"kubeconfig": kubeconfig, "crds": ["a.ray.io"]})
    assert api.headers[-1]["Authorization"] == "Bearer of-v1beta1"


def test_a_missing_credential_plugin_is_named(api: FakeApi) -> None:
    kubeconfig = api.kubeconfig(exec_user("no-such-plugin"))
    with pytest.raises(OperationFailed, match="gcloud components install gke-gcloud-auth-plugin"):
        provider(CRDS).create({"kubeconfig": kubeconfig, "crds": ["a.ray.io"]})


PARALLEL_CONNECTIONS = """\
import sys, threading
from workloads.kubernetes import kube_api
sys.setswitchinterval(1e-6)
kubeconfig = sys.stdin.read()
start = threading.Barrier(8)
def connect():
    start.wait()
    with kube_api.connect(kubeconfig):
        print("connected")
threads = [threading.Thread(target=connect) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_threads_connect_to_clusters_at_once(api: FakeApi) -> None:
    """In its own process, because the defect crashes the process when two threads connect first at the same moment."""
    command = [sys.executable, "-c", PARALLEL_CONNECTIONS]
    done = subprocess.run(command, input=api.kubeconfig(exec_user("x")), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("connected")) == (0, 8), done.stderr


EXPORT = f"{SERVICE_EXPORT_API}/namespaces/serving/serviceexports/svc-serve-svc"


def drain_props(api: FakeApi, **more: Any) -> dict[str, Any]:
    return {
        "kubeconfig": api.kubeconfig(),
        "namespace": "serving",
        "services": ["svc"],
        "limit_s": 60.0,
        "settle_s": 0.1,
        **more,
    }


def statistics(api: FakeApi, *bodies: Any) -> None:
    """Put the statistics of each pod's HAProxy."""
    api.put_state("ready")
    for pod in RECORDED["ready"]["pods"]:
        api.put(f"{PODS}/{pod['metadata']['name']}:8404/proxy/stats;csv", *bodies)


def test_draining_deletes_the_export_and_waits_for_open_requests(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    statistics(api, BUSY, IDLE, BUSY, IDLE)
    api.put(EXPORT, {})
    made = provider(DRAINED).create(drain_props(api))
    assert (made.outs["status"], made.outs["requests_left"]) == ("drained", 0)
    assert api.requests[0] == f"DELETE {EXPORT}"
    printed = capsys.readouterr().err
    assert "Draining svc: deleted the ServiceExports of svc" in printed
    assert "6 open request(s) on 2 of 2 pod(s)" in printed


def test_draining_ends_at_its_limit_and_prints_the_requests_left(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    statistics(api, BUSY)
    made = provider(DRAINED).create(drain_props(api, limit_s=0.1))
    assert (made.outs["status"], made.outs["requests_left"]) == ("drained", 6)
    assert "6 request(s) are still open after 0 s; a change of pods ends them early" in capsys.readouterr().err


def test_without_statistics_draining_takes_all_its_time(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    statistics(api, (503, {"message": "error trying to reach service"}))
    made = provider(DRAINED).create(drain_props(api, limit_s=0.3))
    assert made.outs["requests_left"] == -1
    assert "open requests unknown: cannot read HAProxy's statistics" in capsys.readouterr().err


def test_without_running_pods_draining_ends_at_once(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    made = provider(DRAINED).create(drain_props(api, limit_s=1.0, settle_s=3600.0))
    assert made.outs["requests_left"] == 0
    assert "still open" not in capsys.readouterr().err


def test_a_region_that_was_exported_again_is_drained_again(api: FakeApi) -> None:
    drained = drain_props(api, status="drained", requests_left=0.0)
    assert provider(DRAINED).read("i", drained).outs == drained
    api.put(EXPORT, {})
    found = provider(DRAINED).read("i", drained)
    assert found.outs["status"] == "exported: svc"
    assert provider(DRAINED).diff("i", found.outs, drain_props(api)).changes


DELETED = RayServiceDeletedProvider


def deleted_props(api: FakeApi) -> dict[str, Any]:
    return {"kubeconfig": api.kubeconfig(), "namespace": "serving", "service": "svc"}


def test_deletion_waits_for_every_ray_cluster_of_the_service(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """KubeRay creates one more after it has deleted the last."""
    monkeypatch.setattr(ray_service_deletion, "DELETED_FOR_S", 0.2)
    (cluster,) = RECORDED["ready"]["clusters"]
    there, nothing = {"items": [cluster]}, {"items": []}
    api.put(CLUSTERS, there, nothing, there, nothing)
    made = provider(DELETED).create(deleted_props(api))
    assert api.requests == [], "declared before there is anything"
    provider(DELETED).delete(made.id, made.outs)
    assert len(api.answers[CLUSTERS]) == 1, "it stopped polling between two clusters"
    assert f"RayCluster {cluster['metadata']['name']}" in capsys.readouterr().err


def test_a_deletion_that_does_not_end_names_what_is_left(api: FakeApi) -> None:
    api.put_state("ready")
    with pytest.raises(
        OperationFailed, match=r"RayCluster svc-8pdq7, RayService svc\. Pulumi deleted nothing that the pods need"
    ):
        provider(DELETED).delete("i", {**deleted_props(api), "limit_s": 0})


def test_deleting_a_wait_does_nothing(api: FakeApi) -> None:
    for each in (RAY_SERVICE, CRDS, DRAINED, GATEWAY_PROGRAMMED):
        provider(each).delete("i", drain_props(api))
    assert api.requests == []


GATEWAY = f"{objects.GATEWAY_API}/namespaces/serving/gateways/front"
ROUTE = f"{objects.GATEWAY_API}/namespaces/serving/httproutes/llm"


def conditions(generation: int = 1, **states: str) -> list[dict[str, Any]]:
    return [
        {"type": kind, "status": status, "reason": "Waiting", "message": "not yet", "observedGeneration": generation}
        for kind, status in states.items()
    ]


def gateway_props(api: FakeApi, **more: Any) -> dict[str, Any]:
    return {
        "kubeconfig": api.kubeconfig(),
        "namespace": "serving",
        "gateway": "front",
        "routes": ["llm"],
        "spec_digest": "",
        "wait": True,
        "limit_s": 60.0,
        **more,
    }


def test_a_gateway_is_programmed_when_its_conditions_and_those_of_its_routes_say_so(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata = {"name": "front", "generation": 2, "creationTimestamp": "2026-11-24T00:00:00Z"}
    old = {"metadata": metadata, "status": {"conditions": conditions(1, Accepted="True", Programmed="True")}}
    new = {"metadata": metadata, "status": {"conditions": conditions(2, Accepted="True", Programmed="True")}}
    parent = {"parentRef": {"name": "front"}, "conditions": conditions(1, Accepted="True", ResolvedRefs="False")}
    good = {"parentRef": {"name": "front"}, "conditions": conditions(1, Accepted="True", ResolvedRefs="True")}
    api.put(GATEWAY, old, new)
    api.put(
        ROUTE,
        *(
            {"metadata": {"generation": 1}, "status": {"parents": parents}}
            for parents in ([], [{**good, "parentRef": {"name": "another"}}], [parent], [good])
        ),
    )
    assert provider(GATEWAY_PROGRAMMED).create(gateway_props(api)).outs["status"] == "Ready"
    printed = capsys.readouterr().err
    assert "Gateway front is not Accepted (Waiting: not yet)" in printed, "of another generation"
    assert "HTTPRoute llm has no status yet from the load balancer's controller" in printed
    assert "HTTPRoute llm is not ResolvedRefs (Waiting: not yet)" in printed


def test_a_gateway_that_does_not_exist_is_named(api: FakeApi) -> None:
    with pytest.raises(OperationFailed, match="Gateway front does not exist; HTTPRoute llm does not exist"):
        provider(GATEWAY_PROGRAMMED).create(gateway_props(api, limit_s=0.05))
    assert provider(GATEWAY_PROGRAMMED).read("i", gateway_props(api)).id == ""
    assert provider(GATEWAY_PROGRAMMED).create(gateway_props(api, wait=False)).outs["status"] == "declared"


BACKEND = "/api/v1/namespaces/serving/services/llm-serve-svc"
POLICIES = f"{objects.GKE_API}/namespaces/serving"


def refused(kind: str, reason: str, status: str = "False", generation: int = 1) -> dict[str, Any]:
    """Return a status with one condition, as a controller writes it."""
    condition = {"type": kind, "status": status, "reason": reason, "message": "GWCER106: no"}
    return {"conditions": [{**condition, "observedGeneration": generation}]}


def put_gateway(api: FakeApi, **changed: Any) -> None:
    """Put a programmed Gateway, its route, backend, policies and export; `changed` replaces a part's status."""
    metadata = {"name": "front", "generation": 1, "creationTimestamp": "2026-11-24T00:00:00Z"}
    accepted = {"conditions": conditions(1, Accepted="True", Programmed="True")}
    parent = {"conditions": conditions(1, Accepted="True", ResolvedRefs="True")} | changed.get("route", {})
    api.put(GATEWAY, {"metadata": metadata, "status": changed.get("gateway", accepted)})
    api.put(
        ROUTE,
        {
            "metadata": {"generation": 1},
            "spec": {"rules": [{"backendRefs": [{"name": "llm-serve-svc", "port": 8000}]}]},
            "status": {"parents": [{"parentRef": {"name": "front"}, **parent}]},
        },
    )
    named = {"metadata": {"name": "llm-serve-svc", "generation": 1}}
    if changed.get("backend", True):
        api.put(BACKEND, named)
    for path, part in (("healthcheckpolicies", "health"), ("gcpbackendpolicies", "backend_policy")):
        api.put(f"{POLICIES}/{path}/llm-serve-svc", {**named, "status": changed.get(part, {})})
    exports = f"{SERVICE_EXPORT_API}/namespaces/serving/serviceexports"
    api.put(exports, {"items": [{**named, "status": changed.get("export", {})}]})


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"gateway": refused("Accepted", "Invalid")}, "Gateway front is not Accepted (Invalid: GWCER106: no)"),
        ({"gateway": refused("Programmed", "AddressNotUsable")}, "Gateway front is not Programmed (AddressNotUsable"),
        (
            {"gateway": {"listeners": [{"name": "https", **refused("ResolvedRefs", "InvalidCertificateRef")}]}},
            "listener https of Gateway front is not ResolvedRefs (InvalidCertificateRef",
        ),
        ({"route": refused("Accepted", "NotAllowedByListeners")}, "HTTPRoute llm is not Accepted (NotAllowedByLis"),
        ({"route": refused("ResolvedRefs", "BackendNotFound")}, "HTTPRoute llm is not ResolvedRefs (BackendNotFound"),
        ({"health": refused("Attached", "Conflicted")}, "HealthCheckPolicy llm-serve-svc is not Attached (Conflicted"),
        (
            {"backend_policy": {"ancestors": [refused("Attached", "Invalid")]}},
            "GCPBackendPolicy llm-serve-svc is not Attached (Invalid",
        ),
        ({"export": refused("Conflict", "PortConflict", "True")}, "ServiceExport llm-serve-svc of us-east4 is in Conf"),
        ({"export": refused("Valid", "InvalidServiceType")}, "ServiceExport llm-serve-svc of us-east4 is not Valid"),
    ],
)
def test_what_gke_refuses_fails_in_minutes_with_gkes_words(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], says: str
) -> None:
    assert gateway_status.REFUSED_GRACE_S <= 300
    monkeypatch.setattr(gateway_status, "REFUSED_GRACE_S", 0.03)
    put_gateway(api, **changed)
    with pytest.raises(OperationFailed) as failed:
        provider(GATEWAY_PROGRAMMED).create(gateway_props(api, limit_s=5.0, exports={"us-east4": api.kubeconfig()}))
    assert str(failed.value).startswith(f"GKE refuses what belongs to Gateway front: {says}")
    assert "then run `pulumi up` again" in str(failed.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"gateway": refused("Accepted", "Invalid", generation=0)},
        {"gateway": refused("Programmed", "Pending")},
        {"route": refused("ResolvedRefs", "BackendNotFound"), "backend": False},
        {"health": refused("Attached", "TargetNotFound"), "backend": False},
        {"export": refused("Exported", "ServiceNotFound")},
    ],
)
def test_what_may_still_come_is_no_refusal(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    """A status of an older generation, and backends that KubeRay creates when the model answers."""
    monkeypatch.setattr(gateway_status, "REFUSED_GRACE_S", 0)
    put_gateway(api, **changed)
    status = provider(GATEWAY_PROGRAMMED).read("i", gateway_props(api, exports={"r": api.kubeconfig()})).outs["status"]
    limited = gateway_props(api, limit_s=0.05, exports={"r": api.kubeconfig()})
    if status == "Ready":
        assert provider(GATEWAY_PROGRAMMED).create(limited).outs["status"] == "Ready"
    else:
        with pytest.raises(OperationFailed, match="Gateway front is not programmed after 0 s"):
            provider(GATEWAY_PROGRAMMED).create(limited)


def test_a_region_that_does_not_answer_does_not_keep_the_gateway_from_being_ready(api: FakeApi) -> None:
    put_gateway(api)
    away = api.kubeconfig().replace(f":{api.server.server_address[1]}", ":1")
    found = provider(GATEWAY_PROGRAMMED).create(gateway_props(api, exports={"us-east4": away}))
    assert found.outs["status"] == "Ready"
