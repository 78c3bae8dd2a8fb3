"""The timeouts of the components that can end the start of a model, for every wait that the settings can declare."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from config.releases import MAX_REQUEST_TIMEOUT_S, MIN_REQUEST_TIMEOUT_S, KubernetesServing
from config.start_timeouts import CAPACITY_WAIT_S, MIN_LOAD_S, StartTimeouts
from config.timeouts import REDIS_CLEANUP_S, Timeouts
from tests.unit.ray_services import manifest, pods, variables

READY_S = st.integers(60, 86_400)
REQUEST_S = st.integers(MIN_REQUEST_TIMEOUT_S, MAX_REQUEST_TIMEOUT_S)
PROPAGATION_S = st.integers(0, 1800)
ALLOCATE, TERMINATING = (
    f"RAY_AUTOSCALER_RECONCILE_{status}_STATUS_TIMEOUT_S" for status in ("ALLOCATE", "TERMINATING")
)


def test_the_settings_accept_the_waits_that_are_tried_here() -> None:
    bounds = KubernetesServing.model_fields["ready_timeout_s"].metadata
    assert [(getattr(each, "ge", None), getattr(each, "le", None)) for each in bounds] == [(60, None), (None, 86_400)]


@given(ready_s=READY_S, waits=st.booleans())
def test_no_component_gives_up_before_the_user_does(ready_s: int, waits: bool) -> None:
    found = StartTimeouts(ready_s, waits)
    own = (
        found.vllm_engine_ready_timeout_s,
        found.ray_engine_start_timeout_s,
        found.autoscaler_allocate_timeout_s,
        found.gcs_reconnect_timeout_s,
        found.startup_probe_s,
    )
    assert min(own) >= max(ready_s, MIN_LOAD_S)


@given(ready_s=READY_S, waits=st.booleans())
def test_the_component_that_knows_the_cause_gives_up_first(ready_s: int, waits: bool) -> None:
    found = StartTimeouts(ready_s, waits)
    download_s, engine_s = found.load_s, found.vllm_engine_ready_timeout_s
    assert download_s + engine_s < found.ray_engine_start_timeout_s
    assert found.autoscaler_allocate_timeout_s + found.ray_engine_start_timeout_s < found.startup_probe_s


@given(ready_s=READY_S)
def test_a_node_that_google_has_not_promised_may_take_weeks(ready_s: int) -> None:
    assert StartTimeouts(ready_s, True).autoscaler_allocate_timeout_s == CAPACITY_WAIT_S >= 7 * 24 * 3600


@given(request_s=REQUEST_S, propagation_s=PROPAGATION_S, ready_s=READY_S)
def test_a_pod_that_ends_may_use_its_grace_period(request_s: int, propagation_s: int, ready_s: int) -> None:
    timeouts = Timeouts(request_s, propagation_s)
    grace_s = timeouts.termination_grace_period_s
    assert int(StartTimeouts(ready_s, False).autoscaler_env_vars(timeouts)[TERMINATING]) > grace_s
    assert timeouts.ray_service_deletion_timeout_s > grace_s + REDIS_CLEANUP_S


def test_every_container_has_the_derived_variables() -> None:
    found = manifest("staging", {"serving.kubernetes.ready_timeout_s": 7200, "serving.kubernetes.wait_for": "ready"})
    for pod in pods(found).values():
        names = variables(pod)
        assert (names["VLLM_ENGINE_READY_TIMEOUT_S"], names["RAYLLM_ENGINE_START_TIMEOUT_S"]) == ("7200", "14410")
    autoscaler = {each["name"]: each["value"] for each in found["rayClusterConfig"]["autoscalerOptions"]["env"]}
    assert autoscaler == {ALLOCATE: str(CAPACITY_WAIT_S), TERMINATING: "640"}, "staging has flex-start"
    spot = manifest("dev")["rayClusterConfig"]["autoscalerOptions"]["env"]
    assert {each["name"]: each["value"] for each in spot}[ALLOCATE] == str(MIN_LOAD_S + 10)


def test_a_worker_waits_for_a_head_that_keeps_its_state_in_redis() -> None:
    kept = StartTimeouts(7200, False)
    assert kept.ray_env_vars(redis=True)["RAY_gcs_rpc_server_reconnect_timeout_s"] == "7200"
    assert "RAY_gcs_rpc_server_reconnect_timeout_s" not in kept.ray_env_vars(redis=False)
