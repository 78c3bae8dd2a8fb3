"""Combinations that do not work upstream and that settings cannot express, because the stack never writes them.

docs/reference/compatibility.md is generated from this table and from config/compatibility.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import versions


class Component(StrEnum):
    """The component that an upstream limit belongs to."""

    RAY = "Ray"
    HAPROXY = "HAProxy under Ray"
    KUBERAY = "KubeRay"


@dataclass(frozen=True)
class UpstreamLimit:
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
        "body-aware routers hang; one router replica takes all requests of a cluster",
        f"rejected: Ray is {versions.RAY_FLOOR} or later",
        "ray-project/ray#64326, ray-project/ray#64724",
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
