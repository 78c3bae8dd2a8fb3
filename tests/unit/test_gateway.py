"""The gateway against the other layers: routes, policies and exports refer to the same Services, which exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import pulumi
import pytest
from pulumi.runtime.mocks import MockMonitor

from config.google.infra import GoogleInfra
from config.routes import HeaderRoute, HostRoute, PathRoute
from config.timeouts import Timeouts
from infra.contract import GatewayFrontend, RegionalAddress
from infra.google import network
from tests.unit.ray_services import container, manifest, pods
from tests.unit.test_google_settings import PUBLIC, settings
from workloads import serve_config
from workloads.kubernetes import gateway
from workloads.kubernetes.gateway import Backend, InferenceGatewayArgs

NOTHING: Any = None
TIMEOUTS = Timeouts(600)
SOLE = Backend("llm", None, 40)
FURTHER = (
    SOLE,
    Backend("by-header", HeaderRoute(kind="header", value="qwen"), 10),
    Backend("by-host", HostRoute(kind="host", hostname="small.rayllm.internal"), 10),
    Backend("by-path", PathRoute(kind="path", prefix="/qwen"), 10),
    Backend("by-longer-path", PathRoute(kind="path", prefix="/qwen/large"), 10),
)
CLASSES = {
    "gke-l7-rilb": ("dev", {}),
    "gke-l7-cross-regional-internal-managed-mc": ("prod", {}),
    "gke-l7-global-external-managed": ("dev", {"infra.gateway": PUBLIC}),
    "gke-l7-global-external-managed-mc": ("prod", {"infra.gateway": PUBLIC}),
}
"""GatewayClass -> an environment, and an edit, that use it."""


def ask(
    stack: str, edit: dict[str, Any] | None = None, backends: Sequence[Backend] = (SOLE,), **given: Any
) -> InferenceGatewayArgs:
    """Return the inputs of an environment's gateway. `given`: values that the cloud assigns; None by default."""
    found: GoogleInfra = settings(stack, edit)
    public = found.proxy_purpose is None
    regions = ["global"] if public else [region.name for region in found.regions]
    frontend = GatewayFrontend(
        config_cluster=found.config_cluster_region,
        gateway_class=found.gateway_class,
        proxy_ranges=(),
        addresses=tuple(RegionalAddress(region, f"{stack}-{region}-gateway", NOTHING) for region in regions),
        hostname=found.gateway.hostname,
        certificate=given.get("certificate"),
        security_policy=given.get("security_policy"),
        dns_zone=None,
    )
    return InferenceGatewayArgs(frontend, backends, "ray", TIMEOUTS)


def of_class(name: str, backends: Sequence[Backend] = (SOLE,), **given: Any) -> InferenceGatewayArgs:
    stack, edit = CLASSES[name]
    found = ask(stack, edit, backends, **given)
    assert found.frontend.gateway_class == name
    return found


def rules(args: InferenceGatewayArgs) -> list[dict[str, Any]]:
    return [rule for route in gateway.routes(args) for rule in route["spec"]["rules"]]


def targets(args: InferenceGatewayArgs) -> list[dict[str, Any]]:
    """Return the back ends of all rules."""
    return [ref for rule in rules(args) for ref in rule["backendRefs"]]


@pytest.mark.parametrize("name", CLASSES)
def test_routes_and_policies_refer_to_the_same_back_ends(name: str) -> None:
    args = of_class(name, FURTHER)
    routed = [{key: ref[key] for key in ("group", "kind", "name")} for ref in targets(args)]
    assert {ref["kind"] for ref in routed} == {"ServiceImport" if name.endswith("-mc") else "Service"}
    for policies in (gateway.health_checks(args), gateway.backend_policies(args)):
        pointed = [policy["spec"]["targetRef"] for policy in policies]
        assert sorted(pointed, key=str) == sorted(routed, key=str)
        assert len(policies) == len(FURTHER)


def test_a_region_exports_the_services_that_routes_refer_to() -> None:
    exported = [gateway.service_export(backend.service, "ray") for backend in FURTHER]
    assert {each["metadata"]["name"] for each in exported} == {ref["name"] for ref in targets(ask("prod", {}, FURTHER))}
    assert {each["metadata"]["namespace"] for each in exported} == {"ray"}
    assert all("spec" not in each for each in exported)


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_requests_and_health_checks_use_the_port_on_which_workers_serve(stack: str) -> None:
    args = ask(stack, {}, FURTHER)
    serve = {
        port["containerPort"]
        for pod in pods(manifest(stack)).values()
        for port in container(pod)["ports"]
        if port["name"] == "serve"
    }
    checked = {each["spec"]["default"]["config"]["httpHealthCheck"]["port"] for each in gateway.health_checks(args)}
    assert {ref["port"] for ref in targets(args)} == checked == serve == {network.SERVE_PORT}


def test_a_backend_policy_always_has_timeout_draining_and_rate() -> None:
    for backend, policy in zip(FURTHER, gateway.backend_policies(ask("prod", {}, FURTHER)), strict=True):
        default = policy["spec"]["default"]
        assert default["timeoutSec"] == TIMEOUTS.backend_timeout_s > TIMEOUTS.request_timeout_s
        assert TIMEOUTS.request_timeout_s < default["connectionDraining"]["drainingTimeoutSec"] <= 3600
        assert default["maxRatePerEndpoint"] == backend.max_rate_per_endpoint
        assert default["logging"]["enabled"]
        assert "securityPolicy" not in default


def test_a_back_end_keeps_connections_longer_than_the_load_balancer() -> None:
    assert serve_config.KEEP_ALIVE_S > 600


def test_the_health_check_uses_the_path_that_haproxy_answers() -> None:
    (policy,) = gateway.health_checks(ask("prod"))
    check = policy["spec"]["default"]["config"]
    assert check["type"] == "HTTP"
    assert check["httpHealthCheck"]["requestPath"] == "/-/healthz"
    assert check["httpHealthCheck"]["portSpecification"] == "USE_FIXED_PORT"


def test_the_first_model_receives_every_other_request() -> None:
    (rule,) = rules(ask("prod"))
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert "filters" not in rule


def test_rules_are_written_in_the_order_in_which_they_match() -> None:
    main, *_ = gateway.routes(ask("prod", {}, FURTHER))
    names = [rule["backendRefs"][0]["name"].removesuffix("-serve-svc") for rule in main["spec"]["rules"]]
    assert names == ["by-longer-path", "by-path", "by-header", "llm"]


def test_the_gateway_removes_the_path_prefix() -> None:
    longer, path, header, _ = gateway.routes(ask("prod", {}, FURTHER))[0]["spec"]["rules"]
    for rule, prefix in ((longer, "/qwen/large"), (path, "/qwen")):
        assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": prefix}}]
        (rewrite,) = rule["filters"]
        assert rewrite["urlRewrite"] == {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
    assert header["matches"][0]["headers"] == [{"type": "Exact", "name": "x-model", "value": "qwen"}]
    assert "filters" not in header


def test_an_additional_hostname_has_its_own_route_and_the_listener_accepts_it() -> None:
    args = ask("prod", {}, FURTHER)
    main, host = gateway.routes(args)
    assert main["spec"]["hostnames"] == ["llm.rayllm.internal"]
    assert host["spec"]["hostnames"] == ["small.rayllm.internal"]
    assert "hostname" not in listener(args)
    assert listener(ask("prod"))["hostname"] == "llm.rayllm.internal"
    assert "hostname" not in listener(ask("dev"))
    assert "hostnames" not in gateway.routes(ask("dev"))[0]["spec"]


def listener(args: InferenceGatewayArgs) -> dict[str, Any]:
    """Return the Gateway's only listener."""
    (one,) = gateway.gateway(args)["spec"]["listeners"]
    return one


def test_routes_belong_to_the_gateway_and_to_its_namespace() -> None:
    args = ask("prod", {}, FURTHER)
    own = gateway.gateway(args)["metadata"]
    for route in gateway.routes(args):
        assert [parent["name"] for parent in route["spec"]["parentRefs"]] == [own["name"]]
        assert route["metadata"]["namespace"] == own["namespace"]
    assert listener(args)["allowedRoutes"] == {"namespaces": {"from": "Same"}}


@pytest.mark.parametrize("name", CLASSES)
def test_with_a_certificate_the_only_listener_is_https(name: str) -> None:
    args = of_class(name, certificate="certificate")
    one = listener(args)
    assert (one["protocol"], one["port"]) == ("HTTPS", 443)
    mapped = "networking.gke.io/certmap" in gateway.gateway(args)["metadata"]["annotations"]
    assert mapped is ("external" in name)
    by_name = {"mode": "Terminate", "options": {"networking.gke.io/cert-manager-certs": "certificate"}}
    assert one.get("tls") == (None if mapped else by_name)


def test_without_a_certificate_it_is_plain_http() -> None:
    one = listener(ask("prod"))
    assert (one["protocol"], one["port"], one.get("tls")) == ("HTTP", 80, None)


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("gke-l7-rilb", [("NamedAddress", "dev-us-central1-gateway")]),
        (
            "gke-l7-cross-regional-internal-managed-mc",
            [
                ("networking.gke.io/named-address-with-region", f"regions/{region}/addresses/prod-{region}-gateway")
                for region in ("us-central1", "us-east4")
            ],
        ),
        ("gke-l7-global-external-managed-mc", [("NamedAddress", "prod-global-gateway")]),
    ],
)
def test_the_gateway_uses_the_reserved_addresses(name: str, addresses: list[tuple[str, str]]) -> None:
    written = gateway.gateway(of_class(name))["spec"]["addresses"]
    assert [(each["type"], each["value"]) for each in written] == addresses


def test_cloud_armor_protects_every_model() -> None:
    args = of_class("gke-l7-global-external-managed-mc", FURTHER, security_policy="armor")
    assert {each["spec"]["default"]["securityPolicy"] for each in gateway.backend_policies(args)} == {"armor"}


def test_the_endpoint_has_the_hostname_if_there_is_one() -> None:
    assert gateway.endpoint(ask("prod").frontend) == "http://llm.rayllm.internal"
    assert gateway.endpoint(ask("prod", certificate="certificate").frontend) == "https://llm.rayllm.internal"


class Recorder(MockMonitor):
    """Keeps the resource registrations."""

    def __init__(self, mocks: pulumi.runtime.Mocks) -> None:
        super().__init__(mocks)
        self.registered: dict[str, Any] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802, the engine's own name
        self.registered[request.name] = request
        return super().RegisterResource(request)


class Cluster(pulumi.runtime.Mocks):
    """Accepts every resource unchanged."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        return f"{args.name}-id", dict(args.inputs)

    def call(self, args: pulumi.runtime.MockCallArgs) -> NoReturn:
        raise AssertionError(f"{args.token} is called")


def declared(program: Any) -> dict[str, Any]:
    """Return the resources that `program` registers, by name."""
    mocks = Cluster()
    recorder = Recorder(mocks)
    pulumi.runtime.set_mocks(mocks, project="rayllm", stack="prod", preview=False, monitor=recorder)
    pulumi.runtime.test(program)()
    return {name: request for name, request in recorder.registered.items() if "pulumi:pulumi" not in request.type}


def test_routes_depend_on_gateway_and_policies() -> None:
    resources = declared(lambda: gateway.InferenceGateway("prod", ask("prod", {}, FURTHER)) and None)
    assert resources["prod"].type == "rayllm:workloads:InferenceGateway"
    kinds = {name: request.type.split(":")[-1] for name, request in resources.items()}
    found = {name for name, kind in kinds.items() if kind == "HTTPRoute"}
    first = {name for name, kind in kinds.items() if kind in ("Gateway", "HealthCheckPolicy", "GCPBackendPolicy")}
    assert (len(found), len(first)) == (2, 1 + 2 * len(FURTHER))
    for name in found:
        assert {urn.split("::")[-1] for urn in resources[name].dependencies} >= first
        assert resources[name].customTimeouts.delete == "20m"
    assert resources["prod-gateway-inference-gateway"].customTimeouts.delete == "20m"
    assert list(resources["prod-gateway-inference-gateway"].replaceOnChanges) == ["spec.gatewayClassName"]


def test_pulumi_does_not_await_the_gateway_s_resources() -> None:
    def program() -> None:
        gateway.InferenceGateway("prod", ask("prod"))
        gateway.ServiceExports("us-east4-exports", gateway.ServiceExportsArgs("ray", ["llm"]))

    resources = declared(program)
    assert resources["us-east4-exports"].type == "rayllm:workloads:ServiceExports"
    made = [request for request in resources.values() if request.custom]
    assert len(made) == 5
    for request in made:
        annotations = request.object["metadata"]["annotations"]
        assert annotations["pulumi.com/skipAwait"] == "true"
    export = resources["us-east4-exports-serviceexport-llm-serve-svc"]
    assert (export.object["apiVersion"], export.object["kind"]) == ("net.gke.io/v1", "ServiceExport")
    assert export.customTimeouts.delete == "20m"


def test_the_spec_digest_changes_with_the_routes() -> None:
    seen: list[Any] = []

    def program() -> pulumi.Output[Any]:
        one = gateway.InferenceGateway("prod", ask("prod", {}, FURTHER))
        other = gateway.InferenceGateway("other", ask("prod", {}, FURTHER[:3]))
        assert (one.gateway, one.routes) == ("inference-gateway", ["inference-gateway", "inference-gateway-by-host"])
        return pulumi.Output.all(one.spec_digest, other.spec_digest).apply(seen.append)

    declared(program)
    (digests,) = seen
    assert digests[0] != digests[1]


def test_without_a_hostname_the_endpoint_has_the_address() -> None:
    seen: list[Any] = []

    def program() -> pulumi.Output[Any]:
        args = ask("dev")
        (address,) = args.frontend.addresses
        reached = RegionalAddress(address.region, address.name, pulumi.Output.from_input("10.0.0.7"))
        frontend = GatewayFrontend(**{**vars(args.frontend), "addresses": (reached,)})
        return pulumi.Output.from_input(gateway.endpoint(frontend)).apply(seen.append)

    declared(program)
    assert seen == ["http://10.0.0.7"]
