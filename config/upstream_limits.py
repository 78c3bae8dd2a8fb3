"""Combinations that do not work upstream and that settings cannot express, because the stack never writes them.

docs/reference/compatibility.md is generated from this table and from config/compatibility.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import versions
from config.ray_versions import RayVersionRange


class Component(StrEnum):
    """The component that an upstream limit belongs to."""

    RAY = "Ray"
    HAPROXY = "HAProxy under Ray"
    KUBERAY = "KubeRay"


@dataclass(frozen=True)
class UpstreamLimit(RayVersionRange):
    """Something that does not work upstream and that the stack avoids."""

    component: Component
    behaviour: str
    symptom: str
    workaround: str
    """What the stack does instead."""
    source: str


UPSTREAM_LIMITS: tuple[UpstreamLimit, ...] = (
    UpstreamLimit(
        Component.RAY,
        "direct streaming without HAProxy",
        "Ray rejects the application, because only HAProxy can ask the router for a replica",
        "a data path is one set of variables, the same on head and workers",
        "ray/serve/_private/build_app.py",
    ),
    UpstreamLimit(
        Component.RAY,
        "a custom request router behind HAProxy, without direct streaming",
        "older versions ignore it without a message, newer versions reject it",
        "no data path has this combination",
        "ray-project/ray#64211",
    ),
    UpstreamLimit(
        Component.RAY,
        "Ray 2.56.0 with direct streaming",
        "body-aware routers hang",
        f"rejected: Ray is {versions.RAY_FLOOR} or later",
        "ray-project/ray#64326, ray-project/ray#64488",
        until="2.56.1",
    ),
    UpstreamLimit(
        Component.RAY,
        "one request router for all nodes of a RayCluster, with direct streaming",
        "while Ray Serve replaces the router, HAProxy answers every request with 503; the router bounds the rate of "
        "the whole cluster",
        "two routers a node, as far as Ray has the variable RAY_SERVE_INGRESS_ROUTER_REPLICAS_PER_NODE; use Ray 2.58 "
        "or later where a restart must not lose a request",
        "ray-project/ray#64724, ray-project/ray#64489",
        until="2.58.0",
    ),
    UpstreamLimit(
        Component.RAY,
        "a replica that the request router knows before HAProxy does",
        "after a replica was added or replaced, HAProxy answers requests for it with 503 (unknown_replica_id) until it "
        "has reloaded",
        "later versions send such a request through Serve's fallback proxy; use Ray 2.57 or later with autoscaling",
        "ray-project/ray#64218",
        until="2.57.0",
    ),
    UpstreamLimit(
        Component.RAY,
        "a model without a config.json that transformers reads",
        "Ray reads the configuration a second time, with transformers instead of vLLM, and the replica does not start",
        "use Ray 2.58 or later for such a model (Mistral's own format, for example)",
        "ray-project/ray#62962",
        until="2.58.0",
    ),
    UpstreamLimit(
        Component.RAY,
        "an error of the engine on the direct path",
        "the client reads \"'State' object has no attribute 'server'\" instead of the engine's error; the status is "
        "500 in both cases",
        "the engine's error is in the replica's log",
        "ray-project/ray#65440",
        until="2.59.0",
    ),
    UpstreamLimit(
        Component.RAY,
        "calls between deployments with `ray_auth_mode: token`",
        "replicas accept gRPC calls of other deployments without the token",
        "network policies admit only the pods of the same RayService to Ray's ports",
        "ray/serve/_private/replica.py",
        until="2.58.0",
    ),
    UpstreamLimit(
        Component.RAY,
        "a rolling update whose new replicas fail after one of them has started",
        "Ray Serve starts replicas again and again, and the update never fails",
        "`up` fails after ready_timeout_s and names the last error",
        "ray/serve/_private/constants.py",
        until="2.60.0",
    ),
    UpstreamLimit(
        Component.RAY,
        "http_options.num_cpus other than 0",
        "Ray rejects the Serve configuration",
        "never set",
        "ray/serve/config.py",
    ),
    UpstreamLimit(
        Component.RAY,
        "an executor other than Ray's under vLLM on GPUs",
        "Ray rejects the model",
        "distributed_executor_backend is not a setting",
        "ray/llm/_internal/serve/engines/vllm/vllm_models.py",
    ),
    UpstreamLimit(
        Component.HAPROXY,
        "responses longer than hard-stop-after while Ray Serve adds or removes replicas",
        "every such change reloads HAProxy; the old process closes its connections after 120 s",
        "on Kubernetes the limit is derived from request_timeout_s",
        "ray-project/ray#66056",
    ),
    UpstreamLimit(
        Component.HAPROXY,
        "an old HAProxy process that a failed reload leaves behind",
        "it still accepts connections and sends their requests to replicas that no longer exist",
        "later versions signal it again at every reload",
        "ray-project/ray#64063",
        until="2.57.0",
    ),
    UpstreamLimit(
        Component.HAPROXY,
        "the port of a replica that has stopped",
        "Ray gives it to another replica after 10 s, while an old HAProxy process may still send requests of the first "
        "application to it",
        "a RayCluster has one application",
        "ray-project/ray#64021",
        until="2.57.0",
    ),
    UpstreamLimit(
        Component.HAPROXY,
        "a health check of the head while no replica exists",
        "404 instead of 200",
        "the load balancer does not check the head: excludeHeadPodFromServeSvc",
        "ray-project/ray#64582",
        until="2.57.0",
    ),
    UpstreamLimit(
        Component.HAPROXY,
        "a node that is gone",
        "HAProxy waits without limit for a connection to its replicas, and asks no other one",
        "RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S is set, to the default of later versions",
        "ray/serve/_private/constants.py",
        until="2.60.0",
    ),
    UpstreamLimit(
        Component.KUBERAY,
        "upgradeStrategy NewClusterWithIncrementalUpgrade",
        "needs an alpha feature gate, off by default up to 1.6.1",
        "NewCluster if a second RayCluster fits, else None",
        "ray-operator/pkg/features/features.go",
    ),
    UpstreamLimit(
        Component.KUBERAY,
        "gcsFaultToleranceOptions.externalStorageNamespace on a RayService",
        "the new RayCluster of an upgrade loads the state of the old one",
        "never set: the namespace is then the RayCluster's own id",
        "ray-project/kuberay#1296, ray-project/kuberay#5052",
    ),
    UpstreamLimit(
        Component.KUBERAY,
        "authOptions.mode token with Ray before 2.52.0, or without rayVersion",
        "the operator rejects the RayService after the API server accepted it",
        "rayVersion is always set, and is later than that",
        "ray-operator/controllers/ray/utils/validation.go",
    ),
    UpstreamLimit(
        Component.KUBERAY,
        "authOptions.enableK8sTokenAuth on a RayService",
        "the operator of 1.6.1 rejects it",
        "never set; `ray_auth_mode: token` is a token in a Secret",
        "ray-operator/controllers/ray/utils/validation.go",
    ),
    UpstreamLimit(
        Component.KUBERAY,
        "autoscaler v2 with a pod's restartPolicy other than Never",
        "the operator rejects it",
        "restartPolicy is never set",
        "ray-operator/controllers/ray/utils/validation.go",
    ),
    UpstreamLimit(
        Component.KUBERAY,
        "GCS fault tolerance twice: gcsFaultToleranceOptions beside its annotations or RAY_REDIS_ADDRESS",
        "the operator rejects it",
        "only gcsFaultToleranceOptions is set",
        "ray-operator/controllers/ray/utils/validation.go",
    ),
)
