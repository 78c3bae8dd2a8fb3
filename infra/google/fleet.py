"""Fleet features, which let one Gateway reach the Services of several clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi import Input, ResourceOptions
from pulumi_gcp import gkehub, projects

from config.google.project import Project
from infra.google.project_services import service_agent
from infra.google.service_accounts import workload_identity_principal


@dataclass(frozen=True)
class FleetArgs:
    """Arguments of `Fleet`."""

    project: Project
    config_membership: Input[str]
    """Membership of the config cluster: `projects/P/locations/L/memberships/N`."""
    api_dependencies: Sequence[pulumi.Resource]
    clusters: Sequence[pulumi.Resource]
    """All members. The importer's principal exists once one of them exists."""


class Fleet(pulumi.ComponentResource):
    """The fleet features multi-cluster Services and multi-cluster ingress, with the grants that they need.

    Does not register clusters: each cluster registers itself. No change replaces a feature; another config cluster is
    an update. A project has each feature once, so a second stack needs its own project.
    """

    def __init__(self, name: str, args: FleetArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:Fleet", name, {}, opts)
        # The importer reads the network to find the endpoints of imported Services.
        importer = projects.IAMMember(
            f"{name}-importer",
            project=args.project.id,
            role="roles/compute.networkViewer",
            member=workload_identity_principal(args.project, "gke-mcs", "gke-mcs-importer"),
            opts=ResourceOptions(parent=self, depends_on=[*args.api_dependencies, *args.clusters]),
        )
        # The Gateway controller reads Services and writes NEGs in every member.
        controller = projects.IAMMember(
            f"{name}-gateway-controller",
            project=args.project.id,
            role="roles/container.admin",
            member=service_agent(args.project, "multiclusteringress"),
            opts=ResourceOptions(parent=self, depends_on=list(args.api_dependencies)),
        )
        services = gkehub.Feature(
            f"{name}-multiclusterservicediscovery",
            name="multiclusterservicediscovery",
            location="global",
            opts=ResourceOptions(parent=self, depends_on=[*args.api_dependencies, *args.clusters]),
        )
        ingress = gkehub.Feature(
            f"{name}-multiclusteringress",
            name="multiclusteringress",
            location="global",
            spec={"multiclusteringress": {"config_membership": args.config_membership}},
            opts=ResourceOptions(
                parent=self, depends_on=[*args.api_dependencies, *args.clusters, services, controller]
            ),
        )
        self.resources: tuple[pulumi.Resource, ...] = (importer, controller, services, ingress)
        self.register_outputs({})
