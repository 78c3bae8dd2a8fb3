"""What the waits on clusters make of what an API server says. The RayService states are recordings of KubeRay 1.6.1
under a real API server 1.37.2, on simulated nodes and a stand-in for Ray's API (so Serve's own messages are the
stand-in's); fields that nothing reads were left out."""

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

from workloads.dynamic_provider import OperationFailed
from workloads.kubernetes.readiness import crds, objects, ray_service, ray_service_deletion, region_drain, wait
from workloads.kubernetes.readiness.crds import CrdsEstablishedProvider
from workloads.kubernetes.readiness.gateway import GatewayProgrammedProvider
from workloads.kubernetes.readiness.objects import EXPORTS, RAY
from workloads.kubernetes.readiness.ray_service_deletion import RayServiceDeletedProvider
from workloads.kubernetes.readiness.ray_service_status import difference, evaluate
from workloads.kubernetes.readiness.region_drain import RegionDrainedProvider, open_streams
from workloads.kubernetes.readiness.wait import Failed, InProgress, State, Succeeded

RECORDED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "ray_service_states.json").read_text())
SERVICE = f"{RAY}/namespaces/serving/rayservices/svc"
CLUSTERS = f"{RAY}/namespaces/serving/rayclusters"
PODS = "/api/v1/namespaces/serving/pods"
EVENTS = "/api/v1/namespaces/serving/events"
SERVE = "/api/v1/namespaces/serving/services/svc-serve-svc"

IDLE = """\
# pxname,svname,qcur,qmax,scur,smax,slim,stot,
http_frontend,FRONTEND,,,3,3,524247,3,
llm-LLMServer,SERVE_REPLICA_1,0,0,0,3,,3,
llm-LLMServer,BACKEND,0,0,0,3,52425,3,
stats,FRONTEND,,,1,1,524247,2,
stats,BACKEND,0,0,1,0,52425,0,
"""
"""HAProxy 2.8's, its first columns: three clients are connected and ask nothing."""
BUSY = IDLE.replace("SERVE_REPLICA_1,0,0,0", "SERVE_REPLICA_1,0,0,3").replace("BACKEND,0,0,0", "BACKEND,0,0,3")


def verdict(name: str, change: Callable[[dict[str, Any]], None] = lambda _: None, has_service: bool = True) -> State:
    """Of a recording, as it is or changed."""
    state = deepcopy(RECORDED[name])
    change(state)
    return evaluate(state["service"], state["clusters"], state["pods"], state["events"], has_service)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("ready", Succeeded, ["Ready: RayCluster svc-8pdq7, 1 serving pod(s), llm"]),
        ("in_place_deploying", InProgress, ["llm DEPLOYING (LLMServer:other UPDATING)"]),
        ("bounds_ignored", Failed, ["workerGroupSpecs[gpu].maxReplicas: 1, not 2"]),
        ("refused", Failed, ["KubeRay refuses it: The RayService spec is invalid: worker group gpu has minReplicas 3"]),
        (
            "no_room",
            InProgress,
            ["waiting for GPUs: 1 of 2 workers scheduled (pod svc-7lxdq-gpu-worker-", "svc-8pdq7 keeps serving"],
        ),
        ("not_submitted", Failed, ["Serve does not take the configuration", "error converting YAML to JSON"]),
        ("deploy_failed", Failed, ["application llm is DEPLOY_FAILED"]),
        ("no_account", Failed, ["cannot make the head's pod", 'serviceaccount "nobody" not found']),
    ],
)
def test_each_recorded_state_is_told_for_what_it_is(name: str, kind: type[State], words: list[str]) -> None:
    found = verdict(name)
    assert isinstance(found, kind)
    assert [word for word in words if word not in found.text] == []


def test_a_second_cluster_that_finds_no_gpus_is_not_taken_back_by_reverting() -> None:
    found = verdict("no_room")
    assert isinstance(found, InProgress)
    assert "svc-7lxdq does not fit beside svc-8pdq7" in found.remedy
    assert "a third RayCluster" in found.remedy


def test_a_refusal_says_what_goes_on_and_what_to_do() -> None:
    found = verdict("refused")
    assert isinstance(found, Failed)
    assert "greater than maxReplicas 1. RayCluster svc-8pdq7 runs on as it was; correct the settings" in found.message


def test_the_refusal_of_an_earlier_spec_is_not_one_of_this() -> None:
    def corrected(state: dict[str, Any]) -> None:
        metadata = state["service"]["metadata"]
        metadata["generation"] += 1
        metadata["managedFields"][0]["time"] = "2026-11-24T23:00:00Z"

    assert verdict("refused", corrected) == InProgress(
        "KubeRay has not taken it up yet", "See whether KubeRay's operator runs (the Ray Operator add-on)."
    )


def test_a_refusal_is_known_by_its_event_alone() -> None:
    """Operators before 1.6 set no condition."""

    def without_conditions(state: dict[str, Any]) -> None:
        state["service"]["status"]["conditions"] = []

    found = verdict("refused", without_conditions)
    assert isinstance(found, Failed)
    assert found.text.startswith("KubeRay refuses it: The RayService spec is invalid")


def test_ready_is_not_enough_without_the_service_that_is_exported() -> None:
    found = verdict("ready", has_service=False)
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
        (no_endpoints, "0 pod(s) answer"),
        (a_further_application, "Serve has not begun"),
        (still_two_clusters, "KubeRay is switching"),
    ],
)
def test_kuberays_ready_alone_is_not_believed(change: Callable[[dict[str, Any]], None], words: str) -> None:
    found = verdict("ready", change)
    assert isinstance(found, InProgress)
    assert words in found.text


def waiting(reason: str, **more: Any) -> Callable[[dict[str, Any]], None]:
    """The worker's container waits, in the kubelet's words."""

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
    found = verdict("ready", waiting("ImagePullBackOff"))
    assert isinstance(found, Failed)
    assert "does not start: ImagePullBackOff: Back-off: no. See that the release's image is there" in found.message


def test_a_container_that_ended_says_how() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    found = verdict("ready", waiting("CrashLoopBackOff", lastState=ended))
    assert isinstance(found, Failed)
    assert "it ended before with code 137 (OOMKilled)" in found.text


def test_images_being_pulled_are_progress() -> None:
    def first_time(state: dict[str, Any]) -> None:
        waiting("ContainerCreating")(state)
        state["service"]["status"]["activeServiceStatus"].pop("applicationStatuses")

    found = verdict("ready", first_time)
    assert isinstance(found, InProgress)
    assert found.text.startswith("pulling images and mounting volumes: 1 of 2 pods ready (pod svc-8pdq7-gpu-worker-")


def test_what_is_there_besides_is_no_difference() -> None:
    asked = {"head": {"containers": [{"name": "ray-head", "image": "a"}]}, "sizes": [1, 2]}
    there = {"head": {"containers": [{"name": "log", "image": "x"}, {"name": "ray-head", "image": "a", "tty": True}]}}
    assert difference(asked, {**there, "sizes": [1, 2, 3]}) is None
    assert difference(asked, {**there, "sizes": [1, 3]}) == "sizes[1]: 3, not 2"
    assert difference(asked, {"head": {"containers": []}, "sizes": [1, 2]}) is not None


def test_streams_are_the_sessions_of_back_ends() -> None:
    assert (open_streams(BUSY), open_streams(IDLE)) == (3, 0)
    with pytest.raises(ValueError, match="not HAProxy's"):
        open_streams("<html>")


# What follows talks to an API server of a few lines.


class FakeApi:
    """Answers what a test put in: path -> (status, JSON or text), or the same by turns, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                path = self.path.partition("?")[0]
                fake.asked.append(f"{self.command} {path}")
                fake.headers.append(dict(self.headers))
                turns = fake.answers.get(path, [(404, {"message": "not found"})])
                status, body = turns.pop(0) if len(turns) > 1 else turns[0]
                if self.command == "DELETE" and status == 200:
                    fake.answers.pop(path)
                said = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

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
    monkeypatch.setattr(region_drain, "STREAMS_EVERY_S", 0.01)
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
    """As Pulumi keeps it in the state: a reference to the class, none of its code."""
    made = of()
    assert len(serialize_provider(made)) < 500
    return made


RAY_SERVICE = ray_service.RayServiceReadyProvider
CRDS = CrdsEstablishedProvider
DRAINED = RegionDrainedProvider
ENTRANCE = GatewayProgrammedProvider


def test_a_change_that_looks_done_for_a_moment_is_waited_for(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    """KubeRay says that it has seen the change before Serve has begun with it."""
    api.put_state("in_place_not_yet_told", "in_place_deploying", "ready")
    made = provider(RAY_SERVICE).create(service_props(api))
    assert made.outs["status"] == "Ready"
    assert (made.outs["cluster"], made.outs["endpoints"]) == ("svc-8pdq7", 1)
    assert "RayService svc: Serve: llm DEPLOYING" in capsys.readouterr().err


def test_what_is_not_waited_for_is_declared_without_a_request(api: FakeApi) -> None:
    props = service_props(api, wait=False)
    made = provider(RAY_SERVICE).create(props)
    assert made.outs["status"] == "declared"
    assert api.asked == []
    assert not provider(RAY_SERVICE).diff("", made.outs, props).changes


def test_a_failure_must_last_and_then_ends_the_wait(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workloads.kubernetes.readiness.ray_service_status.VALIDATION_GRACE_S", 0.1)
    api.put_state("refused", "ready")
    assert provider(RAY_SERVICE).create(service_props(api)).outs["status"] == "Ready"
    api.put_state("refused")
    with pytest.raises(OperationFailed, match="KubeRay refuses RayService svc"):
        provider(RAY_SERVICE).create(service_props(api))


def test_the_limit_says_what_was_waited_for_and_what_to_do(api: FakeApi) -> None:
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


def test_a_missing_right_is_named(api: FakeApi) -> None:
    api.put(SERVICE, {"message": "rayservices is forbidden"}, status=403)
    with pytest.raises(
        OperationFailed, match=r"refuses GET .*/rayservices/svc \(rayservices is forbidden\): give who runs"
    ):
        provider(RAY_SERVICE).create(service_props(api))


def test_a_refresh_tells_and_the_next_up_waits_again(api: FakeApi) -> None:
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
def test_what_an_edit_does_to_the_wait(api: FakeApi, edit: dict[str, Any], changes: bool, replaces: list[str]) -> None:
    olds = service_props(api, status="Ready")
    found = provider(RAY_SERVICE).diff("", olds, service_props(api, **edit))
    assert (found.changes, found.replaces) == (changes, replaces)


def crd(established: bool) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": "Established", "status": str(established)}]}}


def test_kinds_are_waited_for_until_they_are_established(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"{crds.CRDS}/rayservices.ray.io"
    api.put(path, (404, {}), crd(False), crd(True))
    props = {"kubeconfig": api.kubeconfig(), "crds": ["rayservices.ray.io"]}
    assert provider(CRDS).create(props).outs["status"] == "Established"
    said = capsys.readouterr().err
    assert "rayservices.ray.io (not there)" in said
    assert "rayservices.ray.io (not established)" in said
    assert provider(CRDS).read("established", props).id == "established"
    api.put(path, {}, status=404)
    assert provider(CRDS).read("established", props).id == ""


def test_kinds_that_do_not_come_are_named_with_what_brings_them(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crds, "CRDS_LIMIT_S", 0.05)
    api.put(f"{crds.CRDS}/rayservices.ray.io", crd(True))
    props = {"kubeconfig": api.kubeconfig(), "crds": ["rayservices.ray.io", "serviceexports.net.gke.io"]}
    with pytest.raises(OperationFailed) as failed:
        provider(CRDS).create(props)
    assert "serviceexports.net.gke.io comes with the fleet's feature multiclusterservicediscovery" in str(failed.value)
    assert "Ray Operator" not in str(failed.value)


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


def test_a_credential_plugin_is_told_of_the_cluster(api: FakeApi) -> None:
    api.put(f"{crds.CRDS}/a.ray.io", crd(True))
    kubeconfig = api.kubeconfig(exec_user(sys.executable, "-c", PLUGIN))
    provider(CRDS).create({"kubeconfig": kubeconfig, "crds": ["a.ray.io"]})
    assert api.headers[-1]["Authorization"] == "Bearer of-v1beta1"


def test_a_missing_credential_plugin_is_named(api: FakeApi) -> None:
    kubeconfig = api.kubeconfig(exec_user("no-such-plugin"))
    with pytest.raises(OperationFailed, match="gcloud components install gke-gcloud-auth-plugin"):
        provider(CRDS).create({"kubeconfig": kubeconfig, "crds": ["a.ray.io"]})


TOGETHER = """\
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


def test_clusters_are_connected_to_at_once(api: FakeApi) -> None:
    """In a process of its own: what can go wrong ends it, and only the first meeting of two threads shows it."""
    command = [sys.executable, "-c", TOGETHER]
    done = subprocess.run(command, input=api.kubeconfig(exec_user("x")), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("connected")) == (0, 8), done.stderr


EXPORT = f"{EXPORTS}/namespaces/serving/serviceexports/svc-serve-svc"


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
    """What HAProxy on each pod says."""
    api.put_state("ready")
    for pod in RECORDED["ready"]["pods"]:
        api.put(f"{PODS}/{pod['metadata']['name']}:8404/proxy/stats;csv", *bodies)


def test_draining_takes_the_export_away_and_waits_for_the_streams(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    statistics(api, BUSY, IDLE, BUSY, IDLE)
    api.put(EXPORT, {})
    made = provider(DRAINED).create(drain_props(api))
    assert (made.outs["status"], made.outs["streams_left"]) == ("drained", 0)
    assert api.asked[0] == f"DELETE {EXPORT}"
    said = capsys.readouterr().err
    assert "Draining svc: taken from the entrance: svc" in said
    assert "6 stream(s) open on 2 of 2 pod(s)" in said


def test_draining_ends_at_its_limit_and_says_what_is_cut(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    statistics(api, BUSY)
    made = provider(DRAINED).create(drain_props(api, limit_s=0.1))
    assert (made.outs["status"], made.outs["streams_left"]) == ("drained", 6)
    assert "6 stream(s) were still open after 0 s; a change of pods cuts them" in capsys.readouterr().err


def test_without_statistics_draining_takes_all_its_time(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    statistics(api, (503, {"message": "error trying to reach service"}))
    made = provider(DRAINED).create(drain_props(api, limit_s=0.3))
    assert made.outs["streams_left"] == -1
    assert "not known how many streams were open" in capsys.readouterr().err


def test_where_nothing_runs_there_is_nothing_to_wait_for(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    made = provider(DRAINED).create(drain_props(api, limit_s=1.0, settle_s=3600.0))
    assert made.outs["streams_left"] == 0
    assert "still open" not in capsys.readouterr().err


def test_a_region_that_was_exported_again_is_drained_again(api: FakeApi) -> None:
    drained = drain_props(api, status="drained", streams_left=0.0)
    assert provider(DRAINED).read("i", drained).outs == drained
    api.put(EXPORT, {})
    found = provider(DRAINED).read("i", drained)
    assert found.outs["status"] == "exported: svc"
    assert provider(DRAINED).diff("i", found.outs, drain_props(api)).changes


GONE = RayServiceDeletedProvider


def gone_props(api: FakeApi) -> dict[str, Any]:
    return {"kubeconfig": api.kubeconfig(), "namespace": "serving", "service": "svc"}


def test_its_deletion_waits_for_every_cluster_of_a_service_that_goes(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """KubeRay makes one more after the last has gone."""
    monkeypatch.setattr(ray_service_deletion, "GONE_STEADY_S", 0.2)
    (cluster,) = RECORDED["ready"]["clusters"]
    there, nothing = {"items": [cluster]}, {"items": []}
    api.put(CLUSTERS, there, nothing, there, nothing)
    made = provider(GONE).create(gone_props(api))
    assert api.asked == [], "declared before there is anything"
    provider(GONE).delete(made.id, made.outs)
    assert len(api.answers[CLUSTERS]) == 1, "it stopped looking between two clusters"
    assert f"RayCluster {cluster['metadata']['name']}" in capsys.readouterr().err


def test_what_holds_a_service_that_goes_is_named_and_nothing_more_is_deleted(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_service_deletion, "GONE_LIMIT_S", 0.2)
    api.put_state("ready")
    with pytest.raises(
        OperationFailed, match=r"RayCluster svc-8pdq7, RayService svc\. Nothing that it needs was deleted"
    ):
        provider(GONE).delete("i", gone_props(api))


def test_deleting_a_wait_does_nothing(api: FakeApi) -> None:
    for each in (RAY_SERVICE, CRDS, DRAINED, ENTRANCE):
        provider(each).delete("i", drain_props(api))
    assert api.asked == []


GATEWAY = f"{objects.GATEWAY}/namespaces/serving/gateways/front"
ROUTE = f"{objects.GATEWAY}/namespaces/serving/httproutes/llm"


def conditions(generation: int = 1, **states: str) -> list[dict[str, Any]]:
    return [
        {"type": kind, "status": status, "reason": "Waiting", "message": "not yet", "observedGeneration": generation}
        for kind, status in states.items()
    ]


def entrance_props(api: FakeApi, **more: Any) -> dict[str, Any]:
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


def test_the_entrance_is_ready_when_gateway_and_routes_say_so(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert provider(ENTRANCE).create(entrance_props(api)).outs["status"] == "Ready"
    said = capsys.readouterr().err
    assert "Gateway front is not Accepted (Waiting: not yet)" in said, "of another generation"
    assert "HTTPRoute llm: the load balancer's controller has not looked at it" in said
    assert "HTTPRoute llm is not ResolvedRefs (Waiting: not yet)" in said


def test_an_entrance_that_does_not_come_says_what_is_pending(api: FakeApi) -> None:
    with pytest.raises(OperationFailed, match="Gateway front is not there; HTTPRoute llm is not there"):
        provider(ENTRANCE).create(entrance_props(api, limit_s=0.05))
    assert provider(ENTRANCE).read("i", entrance_props(api)).id == ""
    assert provider(ENTRANCE).create(entrance_props(api, wait=False)).outs["status"] == "declared"
