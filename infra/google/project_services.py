"""Enabled APIs of the project, and the service agents that receive grants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi import ResourceOptions
from pulumi_gcp import projects

from config.google.gateway import ManagedCertificate
from config.google.image_registry import DirectPull
from config.google.infra import GoogleInfra
from config.google.network import SharedVpcNetwork
from config.google.project import Project

API = "googleapis.com"
AGENTS: Mapping[str, str] = {
    "artifactregistry": "gcp-sa-artifactregistry",
    "compute": "compute-system",
    "container": "container-engine-robot",
    "multiclusteringress": "gcp-sa-multiclusteringress",
    "multiclusterservicediscovery": "gcp-sa-mcsd",
    "redis": "cloud-redis",
    "storage": "gs-project-accounts",
}
"""Service -> domain of its service agent (IAM, "Service agents")."""


@dataclass(frozen=True)
class ProjectServicesArgs:
    """Arguments of `ProjectServices`."""

    project: Project
    apis: tuple[str, ...]
    """Short names of APIs, such as container."""
    agents: tuple[str, ...]
    """Short names of services whose agent receives a grant and must exist before."""


class ProjectServices(pulumi.ComponentResource):
    """Enabled APIs, and the service agents that receive grants.

    Never disables an API, because other programs may use it. No change replaces anything.
    """

    def __init__(self, name: str, args: ProjectServicesArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:ProjectServices", name, {}, opts)
        child = ResourceOptions(parent=self)
        self._enabled = {
            api: projects.Service(
                api, project=args.project.id, service=f"{api}.{API}", disable_on_destroy=False, opts=child
            )
            for api in args.apis
        }
        self._agents = {
            service: projects.ServiceIdentity(
                f"{service}-agent",
                project=args.project.id,
                service=f"{service}.{API}",
                opts=ResourceOptions(parent=self, depends_on=[self._enabled[service]]),
            )
            for service in args.agents
        }
        self.register_outputs({})

    def dependencies_of(self, *apis: str) -> list[pulumi.Resource]:
        """Return the resources that must exist before the stack uses these APIs or grants rights to their agents."""
        return [*(self._enabled[api] for api in apis), *(self._agents[api] for api in apis if api in self._agents)]


def service_agent(project: Project, service: str) -> str:
    """Return the service agent of a service as an IAM member."""
    return f"serviceAccount:service-{project.number}@{AGENTS[service]}.iam.gserviceaccount.com"


def required_apis(settings: GoogleInfra) -> tuple[str, ...]:
    """Return the APIs that the settings need."""
    gateway = settings.gateway
    needed = {
        "cloudresourcemanager",
        "compute",
        "container",
        "iam",
        "logging",
        "monitoring",
        "secretmanager",
        "storage",
    }
    if settings.multi_cluster:  # clusters find multi-cluster Services through Cloud DNS
        needed |= {"dns", "gkehub", "multiclusteringress", "multiclusterservicediscovery", "trafficdirector"}
    if gateway.dns_zone is not None or isinstance(gateway.certificate, ManagedCertificate):
        needed |= {"dns"}
    if gateway.certificate is not None:
        needed |= {"certificatemanager"}
    if settings.redis is not None:
        needed |= {"redis"}
    if not isinstance(settings.image_registry, DirectPull):
        needed |= {"artifactregistry"}
    if settings.image_streaming:
        needed |= {"containerfilesystem"}
    if settings.kms_keys:
        needed |= {"cloudkms"}
    return tuple(sorted(needed))


def service_agents(settings: GoogleInfra) -> tuple[str, ...]:
    """Return the services whose agent receives a grant. The agents of Compute Engine and Cloud Storage exist
    already: Google creates them with the API and with the first bucket."""
    needed: set[str] = set()
    if settings.multi_cluster:
        needed |= {"multiclusteringress"}
    if isinstance(settings.network, SharedVpcNetwork):
        needed |= {"container"} | ({"multiclusterservicediscovery"} if settings.multi_cluster else set())
    if settings.kms_keys:
        needed |= {service for _, service in settings.kms_key_uses} - {"compute", "storage"}
    return tuple(sorted(needed))
