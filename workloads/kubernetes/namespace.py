"""What a cluster has before any model: namespace, accounts, priority and the code that pods mount."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pulumi
from pulumi import ResourceOptions
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, ServiceAccount
from pulumi_kubernetes.scheduling.v1 import PriorityClass

from infra.contract import ServiceAccounts
from paths import CHECKOUT

PRIORITY_CLASS = "rayllm-serving"
PRIORITY = 1_000_000
"""Above everything without a class: a batch job on the same pool gives way, and never the other way round."""
POD_SCRIPTS = ("close_keepalive.py", "haproxy_client.py", "prestop.py", "startup_probe.py")
_SCRIPTS_FOLDER = CHECKOUT / "workloads" / "kubernetes" / "pod_scripts"


@dataclass(frozen=True)
class ServingNamespaceArgs:
    accounts: ServiceAccounts


class ServingNamespace(pulumi.ComponentResource):
    """Makes: the namespace (Pod Security: baseline enforced, restricted warned of), the service accounts that infra
    granted rights to, the priority class, a ConfigMap with the code of pod_scripts/ that pods run.

    Does not: bind any Kubernetes role; KubeRay gives the head's account what its autoscaler needs.
    Replaces: the ConfigMap when the code changes, and with it the pods.
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
        inside = ResourceOptions.merge(child, ResourceOptions(depends_on=[namespace]))
        for account in (accounts.head, accounts.worker):
            ServiceAccount(
                f"{name}-{account}",
                metadata={"name": account, "namespace": accounts.namespace},
                automount_service_account_token=False,  # a pod that needs it says so itself
                opts=inside,
            )
        PriorityClass(
            f"{name}-priority",
            metadata={"name": PRIORITY_CLASS},
            value=PRIORITY,
            description="Model serving: not preempted by anything without a class of its own",
            opts=child,
        )
        files = {file: (_SCRIPTS_FOLDER / file).read_text() for file in POD_SCRIPTS}
        self.scripts_config_map = f"app-{_digest(files)}"
        """Name of the ConfigMap: other code has another name, so that pods and their code change together."""
        ConfigMap(
            f"{name}-app",
            metadata={"name": self.scripts_config_map, "namespace": accounts.namespace},
            data=files,
            immutable=True,
            opts=inside,
        )
        self.namespace = accounts.namespace
        self.register_outputs({})


def _digest(files: dict[str, str]) -> str:
    return hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in files.items()).encode()).hexdigest()[:10]
