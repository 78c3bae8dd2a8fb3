"""Redis in a region, for the state of Ray heads (GCS fault tolerance)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
from pulumi import Input, ResourceOptions
from pulumi_gcp import redis

from config.google.redis import HeadState
from config.google.resource_names import Names
from infra import contract

VERSION = "REDIS_7_2"


@dataclass(frozen=True)
class RedisArgs:
    names: Names
    region: str
    state: HeadState
    network: Input[str]
    range_: IPv4Network | str | None
    """Of the VPC, for direct peering; the name of an allocated range, for private services access; None: Google's
    choice."""
    key: str | None
    protect: bool
    enabled: Sequence[pulumi.Resource]


class Redis(pulumi.ComponentResource):
    """Makes: a Memorystore for Redis instance that asks for a password, reachable from the VPC only.

    Does not: encrypt the way to it; Ray's support of TLS there is rough (ray-project/ray#41161).
    Replaces: the instance, and with it what the region's heads remember, when tier, VPC, range or key changes.
    """

    def __init__(self, name: str, args: RedisArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:Redis", name, {}, opts)
        services_access = isinstance(args.range_, str)
        instance = redis.Instance(
            name,
            name=name,
            region=args.region,
            tier=args.state.tier,
            memory_size_gb=args.state.memory_gib,
            redis_version=VERSION,
            auth_enabled=True,
            transit_encryption_mode="DISABLED",
            authorized_network=args.network,
            connect_mode="PRIVATE_SERVICE_ACCESS" if services_access else "DIRECT_PEERING",
            reserved_ip_range=None if args.range_ is None else str(args.range_),
            customer_managed_key=args.key,
            deletion_protection=args.protect,
            deletion_policy="PREVENT" if args.protect else "DELETE",
            opts=ResourceOptions(
                parent=self,
                protect=args.protect,
                depends_on=list(args.enabled),
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(create="1h", update="1h", delete="1h"),
            ),
        )
        self.state = contract.HeadState(
            address=pulumi.Output.format("{}:{}", instance.host, instance.port),
            password=pulumi.Output.secret(instance.auth_string),
        )
        self.register_outputs({})
