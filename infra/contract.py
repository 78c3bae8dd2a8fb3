"""What `infra` hands to `workloads`: the only module of `infra` (beside its plain tables) that `workloads` may import.

Values that exist before any resource does are plain; values that a cloud assigns are `pulumi.Output`. Sizes say their
unit in their name. A site is one place that can serve; `workloads` matches on the kind of site in one place only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pulumi

from config.google.regions import Traffic
from config.local.ports import Ports
from config.node_pool_info import GpuNodePoolInfo, NodePoolInfo


@dataclass(frozen=True)
class LocalHost:
    """This computer."""

    process_tag: str
    """What the stack's processes carry, so that they are told from any others: one for a checkout and stack."""
    data_dir: Path
    """Where everything that runs keeps its files; gone after `destroy`. Short: Unix sockets lie under it."""
    venv: Path
    """The virtual environment that holds Ray and vLLM."""
    ports: Ports
    logical_gpus: int
    """Number of GPUs that Ray is configured with; the CPU computes the tokens."""


@dataclass(frozen=True)
class ServiceAccounts:
    """Kubernetes service accounts that infra has granted rights to; workloads creates them under these names."""

    namespace: str
    head: str
    """Ray head and autoscaler: no cloud rights."""
    worker: str
    """Model code: reads the weights bucket, nothing else."""


@dataclass(frozen=True)
class RedisEndpoint:
    """Redis that keeps Ray's GCS across a head restart (fault tolerance)."""

    address: pulumi.Output[str]
    """`host:port`."""
    password: pulumi.Output[str] | None
    """A Pulumi secret."""


@dataclass(frozen=True)
class ServingCluster:
    """One GKE cluster."""

    name: str
    region: str
    cluster_id: pulumi.Output[str]
    """`projects/P/locations/L/clusters/N`: the Kubernetes provider's cluster_identifier."""
    kubeconfig: pulumi.Output[str]
    """Exec plugin and DNS endpoint; holds no credential."""
    system_pool: NodePoolInfo
    gpu_pools: tuple[GpuNodePoolInfo, ...]
    service_accounts: ServiceAccounts
    model_bucket_url: pulumi.Output[str] | None
    """`gs://…` without a trailing slash."""
    redis: RedisEndpoint | None
    image_repository: pulumi.Output[str] | None
    """Artifact Registry path that image references start with."""
    traffic: Traffic = Traffic.ACTIVE
    cluster: pulumi.Resource | None = None
    """In-cluster resources are `deleted_with` this."""
    depends_on: tuple[pulumi.Resource, ...] = field(default=())
    """Wait for these before anything is put into the cluster (node pools, IAM)."""


@dataclass(frozen=True)
class RegionalAddress:
    """A reserved front-end address in one region."""

    region: str
    name: str
    value: pulumi.Output[str]


@dataclass(frozen=True)
class GatewayFrontend:
    """Where traffic comes in. None of it exists on a machine site: there it is the loopback port."""

    config_cluster: str
    """Name of the site whose cluster holds Gateway and HTTPRoute."""
    gateway_class: str
    proxy_ranges: tuple[str, ...]
    """CIDRs that the load balancer's proxies and health checks dial from."""
    addresses: tuple[RegionalAddress, ...]
    hostname: str | None
    certificate: pulumi.Output[str] | None
    """Its name in Certificate Manager; of the certificate map where the entrance is public."""
    security_policy: pulumi.Output[str] | None
    """Cloud Armor; only in front of a public entrance."""
    dns_zone: pulumi.Output[str] | None
    depends_on: tuple[pulumi.Resource, ...] = ()
    """Addresses, fleet features and their IAM: the multi-cluster classes appear after these."""

    @property
    def multi_cluster(self) -> bool:
        """Whether clusters are behind it that export their Services, or one cluster with its Services as they are."""
        return self.gateway_class.endswith("-mc")


@dataclass(frozen=True)
class LocalPlatform:
    """The platform of `infra.kind: local`."""

    host: LocalHost


@dataclass(frozen=True)
class GooglePlatform:
    """The platform of `infra.kind: google`."""

    environment: str
    """Name of the Pulumi stack, with which every resource name begins."""
    clusters: tuple[ServingCluster, ...]
    """One for each region, in the order of `infra.regions`."""
    gateway_frontend: GatewayFrontend
    labels: dict[str, str] = field(default_factory=dict)
    """Labels of every resource."""
    protect: bool = False
    """True if resources that serve or hold data must not be deleted or replaced."""


Platform = LocalPlatform | GooglePlatform
