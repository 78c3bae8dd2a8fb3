"""Grants for GKE in the host project of a Shared VPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi import ResourceOptions
from pulumi_gcp import compute, projects

from config.google.network import ExistingSubnetwork
from config.google.project import Project
from infra.google.project_services import service_agent


@dataclass(frozen=True)
class SharedVpcGrantsArgs:
    """Arguments of `SharedVpcGrants`."""

    project: Project
    host: Project
    subnetworks: Mapping[str, ExistingSubnetwork]
    multi_cluster: bool
    api_dependencies: Sequence[pulumi.Resource]


class SharedVpcGrants(pulumi.ComponentResource):
    """In the host project: the right of this project's agents to use the subnetworks, of GKE's agent to act as host
    agent, and of the multi-cluster Services agent to read the network.

    Does not attach the project to its host project, and creates no part of the network. GKE may not create firewall
    rules there: its Gateway controller reports the rules that it needs as events. Another subnetwork replaces its
    grants.
    """

    def __init__(self, name: str, args: SharedVpcGrantsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:SharedVpcGrants", name, {}, opts)
        child = ResourceOptions(parent=self, depends_on=list(args.api_dependencies))
        gke = service_agent(args.project, "container")
        users = {
            "gke": gke,
            "google-apis": f"serviceAccount:{args.project.number}@cloudservices.gserviceaccount.com",
        }
        grants: list[pulumi.Resource] = [
            compute.SubnetworkIAMMember(
                f"{name}-{region}-{user}",
                project=args.host.id,
                region=region,
                subnetwork=subnetwork.name,
                role="roles/compute.networkUser",
                member=member,
                opts=child,
            )
            for region, subnetwork in args.subnetworks.items()
            for user, member in users.items()
        ]
        grants.append(
            projects.IAMMember(
                f"{name}-host-agent",
                project=args.host.id,
                role="roles/container.hostServiceAgentUser",
                member=gke,
                opts=child,
            )
        )
        if args.multi_cluster:
            grants.append(
                projects.IAMMember(
                    f"{name}-discovery",
                    project=args.host.id,
                    role="roles/multiclusterservicediscovery.serviceAgent",
                    member=service_agent(args.project, "multiclusterservicediscovery"),
                    opts=child,
                )
            )
        self.grants = tuple(grants)
        self.register_outputs({})
