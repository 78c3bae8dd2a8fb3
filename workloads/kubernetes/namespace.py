"""What a cluster has before any model: the namespace, service accounts, priority class and pod scripts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pulumi
from pulumi import ResourceOptions
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, ServiceAccount
from pulumi_kubernetes.scheduling.v1 import PriorityClass

from infra.contract import ServiceAccounts
from paths import CHECKOUT
from workloads.edge_settings import EDGE_FOLDER

PRIORITY_CLASS = "rayllm-serving"
PRIORITY = 1_000_000
"""Higher than that of every pod without a class: a batch job on the same pool is preempted, never the model."""
POD_SCRIPTS = (
    "api_keys.py",
    "close_keepalive.py",
    "haproxy_client.py",
    "prestop.py",
    "rayllm_weights.py",
    "readiness.py",
    "startup_probe.py",
    "weights_download.py",
)
"""Files of pod_scripts/. The kubelet runs five of them in worker pods, and Ray imports rayllm_weights."""
EDGE_SCRIPTS = (
    "haproxy_affinity.py",
    "haproxy_config.py",
    "haproxy_edge.py",
    "haproxy_keys.py",
    "haproxy_wrapper.py",
    "key_map.py",
    "openai_errors.py",
    "rayllm_applications.py",
    "serve_middlewares.py",
)
"""Files of workloads/edge. Ray starts haproxy_wrapper in place of HAProxy, and imports the last and the third last."""
_SCRIPTS_FOLDER = CHECKOUT / "workloads" / "kubernetes" / "pod_scripts"


@dataclass(frozen=True)
class ServingNamespaceArgs:
    """Inputs of ServingNamespace."""

    accounts: ServiceAccounts


class ServingNamespace(pulumi.ComponentResource):
    """Creates the namespace (Pod Security: enforces baseline, warns of restricted), the service accounts to which infra
    granted rights, the priority class, and a ConfigMap with the pod scripts.

    Does not create Kubernetes roles: KubeRay grants the head's account what its autoscaler needs.
    An edit of a pod script replaces the ConfigMap and, because its name changes, the pods.
    """

    def __init__(self, name: str, args: ServingNamespaceArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:workloads:ServingNamespace", name, {}, opts)
        child = ResourceOptions.merge(opts, ResourceOptions(parent=self))  # children inherit no dependencies
        accounts = args.accounts
        namespace = Namespace(
            f"{name}-namespace",
            metadata={
                "name": accounts.namespace,
                "labels": {
                    "pod-security.kubernetes.io/enforce": "baseline",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
            },
            opts=child,
        )
        in_namespace = ResourceOptions.merge(child, ResourceOptions(depends_on=[namespace]))
        for account in (accounts.head, accounts.worker):
            ServiceAccount(
                f"{name}-{account}",
                metadata={"name": account, "namespace": accounts.namespace},
                automount_service_account_token=False,  # a pod that needs the token mounts it in its own spec
                opts=in_namespace,
            )
        PriorityClass(
            f"{name}-priority",
            metadata={"name": PRIORITY_CLASS},
            value=PRIORITY,
            description="Model serving: pods without a priority class do not preempt it",
            opts=child,
        )
        files = {file: (_SCRIPTS_FOLDER / file).read_text() for file in POD_SCRIPTS}
        files |= {file: (EDGE_FOLDER / file).read_text() for file in EDGE_SCRIPTS}
        self.scripts_config_map = f"pod-scripts-{_digest(files)}"
        """Name of the ConfigMap. It contains a digest, so that pods and their scripts change together."""
        ConfigMap(
            f"{name}-pod-scripts",
            metadata={"name": self.scripts_config_map, "namespace": accounts.namespace},
            data=files,
            immutable=True,
            opts=in_namespace,
        )
        self.namespace = accounts.namespace
        self.register_outputs({})


def _digest(files: dict[str, str]) -> str:
    return hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in files.items()).encode()).hexdigest()[:10]
