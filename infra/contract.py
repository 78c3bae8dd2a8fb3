"""The contract between `infra` and `workloads`: the only module of `infra` that `workloads` may import.

Values that exist before any resource are plain; values that a cloud assigns are `pulumi.Output`. Names of sizes have
their unit. `workloads` distinguishes `LocalPlatform` and `GooglePlatform` in one place only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pulumi

from config.google.regions import Traffic
from config.local.ports import Ports
from config.node_pool_info import GpuNodePoolInfo, NodePoolInfo


@dataclass(frozen=True)
class LocalHost:
    """The local host."""

    process_tag: str
    """Value of an environment variable of all processes of the stack, unique to the checkout and stack."""
    data_dir: Path
    """Directory of all files of the running stack; `destroy` deletes it. Its path is short, because Unix sockets are
    below it."""
    venv: Path
    """Virtual environment with Ray and vLLM."""
    ports: Ports
    logical_gpus: int
    """Number of GPUs that Ray is configured with; the CPU computes the tokens."""
    bucket_env_vars: Mapping[str, str] = field(default_factory=dict)
    """Environment variables with which Ray reads buckets."""


@dataclass(frozen=True)
class ServiceAccounts:
    """Kubernetes service accounts that infra grants rights to. workloads creates them with these names."""

    namespace: str
    head: str
    """Ray head and autoscaler: no rights in Google Cloud."""
    worker: str
    """Workers: may read the model bucket, nothing else."""


@dataclass(frozen=True)
class RedisEndpoint:
    """Redis that keeps the state of Ray's GCS while a head restarts (Ray: GCS fault tolerance)."""

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
    """Kubeconfig with exec plugin and DNS endpoint, without a credential."""
    system_pool: NodePoolInfo
    gpu_pools: tuple[GpuNodePoolInfo, ...]
    service_accounts: ServiceAccounts
    model_bucket_url: pulumi.Output[str] | None
    """`gs://BUCKET` without a slash at the end; None without a model bucket."""
    redis: RedisEndpoint | None
    image_repository: pulumi.Output[str] | None
    """Artifact Registry path before image references; None to pull images directly."""
    traffic: Traffic = Traffic.ACTIVE
    cluster: pulumi.Resource | None = None
    """Resources in the cluster are `deleted_with` this one; None for an existing cluster."""
    depends_on: tuple[pulumi.Resource, ...] = field(default=())
    """Resources in the cluster depend on these (node pools, grants)."""


@dataclass(frozen=True)
class RegionalAddress:
    """A reserved address of the gateway in one region."""

    region: str
    name: str
    value: pulumi.Output[str]


@dataclass(frozen=True)
class GatewayFrontend:
    """Frontend of the gateway: addresses, certificate, DNS zone and security policy."""

    config_cluster: str
    """Name of the cluster that holds Gateway and HTTPRoute."""
    gateway_class: str
    proxy_ranges: tuple[str, ...]
    """Source CIDRs of the load balancer's proxies and health checks."""
    addresses: tuple[RegionalAddress, ...]
    hostname: str | None
    certificate: pulumi.Output[str] | None
    """Name in Certificate Manager: of the certificate, or of the certificate map for an external gateway."""
    security_policy: pulumi.Output[str] | None
    """Cloud Armor policy; for an external gateway only."""
    dns_zone: pulumi.Output[str] | None
    depends_on: tuple[pulumi.Resource, ...] = ()
    """Addresses, and fleet features with their grants: the multi-cluster GatewayClasses exist after these."""

    @property
    def multi_cluster(self) -> bool:
        """True if several clusters export their Services to the gateway, false if one cluster has its Services
        behind it."""
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
