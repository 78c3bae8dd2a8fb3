"""Memorystore for Redis of a region, which keeps the state of the Ray heads (Ray: GCS fault tolerance)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
from pulumi import Input, ResourceOptions
from pulumi_gcp import redis

from config.google.redis import RedisSettings
from config.google.resource_names import ResourceNames
from infra import contract

VERSION = "REDIS_7_2"


@dataclass(frozen=True)
class MemorystoreInstanceArgs:
    """Arguments of `MemorystoreInstance`."""

    names: ResourceNames
    region: str
    settings: RedisSettings
    network: Input[str]
    range_: IPv4Network | str | None
    """Range for direct peering, name of an allocated range for private services access, or None for a range that Google
    chooses."""
    kms_key: str | None
    protect: bool
    api_dependencies: Sequence[pulumi.Resource]


class MemorystoreInstance(pulumi.ComponentResource):
    """A Memorystore for Redis instance with a password, reachable from the VPC only.

    Does not encrypt the connection: Ray's support of TLS to Redis is incomplete (ray-project/ray#41161). A change of
    tier, VPC, range or key replaces the instance, and the state of the region's Ray heads is lost.
    """

    def __init__(self, name: str, args: MemorystoreInstanceArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:MemorystoreInstance", name, {}, opts)
        private_services_access = isinstance(args.range_, str)
        instance = redis.Instance(
            name,
            name=name,
            region=args.region,
            tier=args.settings.tier,
            memory_size_gb=args.settings.memory_gib,
            redis_version=VERSION,
            auth_enabled=True,
            transit_encryption_mode="DISABLED",
            authorized_network=args.network,
            connect_mode="PRIVATE_SERVICE_ACCESS" if private_services_access else "DIRECT_PEERING",
            reserved_ip_range=None if args.range_ is None else str(args.range_),
            customer_managed_key=args.kms_key,
            deletion_protection=args.protect,
            deletion_policy="PREVENT" if args.protect else "DELETE",
            opts=ResourceOptions(
                parent=self,
                protect=args.protect,
                depends_on=list(args.api_dependencies),
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(create="1h", update="1h", delete="1h"),
            ),
        )
        self.endpoint = contract.RedisEndpoint(
            address=pulumi.Output.format("{}:{}", instance.host, instance.port),
            password=pulumi.Output.secret(instance.auth_string),
        )
        self.register_outputs({})
