"""Frontend of the gateway, which exists before the Gateway: addresses, DNS zone and record, certificate, and Cloud
Armor for an external gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi import Input, Output, ResourceOptions
from pulumi_gcp import certificatemanager, compute, dns

from config.google.gateway import (
    CloudArmor,
    ExistingCertificate,
    ExistingDnsZone,
    Exposure,
    GatewaySettings,
    ManagedCertificate,
    NewDnsZone,
)
from config.google.resource_names import ResourceNames
from infra.contract import RegionalAddress
from infra.google.network import ClusterNetwork

DEFAULT_RULE_PRIORITY = 2147483647
"""Priority of a security policy's default rule."""
TTL_S = 300
"""TTL of a record with one address, in seconds."""
ROUTED_TTL_S = 30
"""TTL of a record with a routing policy, in seconds: the longest time that a failed region costs a client."""


@dataclass(frozen=True)
class GatewayFrontendArgs:
    """Arguments of `GatewayFrontendResources`."""

    names: ResourceNames
    gateway: GatewaySettings
    multi_cluster: bool
    networks: Mapping[str, ClusterNetwork]
    """Region -> network of its cluster."""
    protect: bool
    api_dependencies: Sequence[pulumi.Resource]


class GatewayFrontendResources(pulumi.ComponentResource):
    """Reserved addresses (one in each region, or one global address for an external gateway), DNS zone, record of the
    host name, certificate with its DNS authorization, and Cloud Armor policy of an external gateway.

    Does not create the Gateway: the workloads do. Until then nothing listens at the addresses. A change of `exposure`
    replaces every address, a change of the domain the zone, a change of the host name the record and the certificate, a
    change of the GatewayClass the certificate. Protected addresses and zones cannot be replaced.
    """

    def __init__(self, name: str, args: GatewayFrontendArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:GatewayFrontend", name, {}, opts)
        self._args = args
        self._child = ResourceOptions(parent=self, depends_on=list(args.api_dependencies))
        self._protected = ResourceOptions(
            parent=self, depends_on=list(args.api_dependencies), protect=args.protect, delete_before_replace=True
        )
        self._deletion_policy = "PREVENT" if args.protect else "DELETE"
        self._external = args.gateway.exposure is Exposure.EXTERNAL
        self.reserved: list[pulumi.Resource] = []
        """The addresses, which Pulumi deletes after the Gateway that uses them."""
        self.addresses = self._addresses()
        self.dns_zone = self._zone()
        if self.dns_zone is not None and args.gateway.hostname is not None:
            self._record(self.dns_zone, args.gateway.hostname)
        self.certificate = self._certificate()
        self.security_policy = self._security_policy(args.gateway.cloud_armor) if args.gateway.cloud_armor else None
        self.register_outputs({})

    def _addresses(self) -> tuple[RegionalAddress, ...]:
        names = self._args.names
        if self._external:
            name = names.address(None)
            address = compute.GlobalAddress(
                name, name=name, deletion_policy=self._deletion_policy, opts=self._protected
            )
            self.reserved.append(address)
            return (RegionalAddress("global", name, address.address),)
        addresses: list[RegionalAddress] = []
        for region, network in self._args.networks.items():
            name = names.address(region)
            address = compute.Address(
                name,
                name=name,
                region=region,
                address_type="INTERNAL",
                purpose="SHARED_LOADBALANCER_VIP",
                subnetwork=network.subnetwork,
                deletion_policy=self._deletion_policy,
                opts=self._protected,
            )
            self.reserved.append(address)
            addresses.append(RegionalAddress(region, name, address.address))
        return tuple(addresses)

    def _record(self, zone: Output[str], hostname: str) -> None:
        """Create the record of the host name: one address, or a geolocation policy for several.

        With the policy Cloud DNS answers the nearest address whose load balancer is healthy (it checks in private zones
        only). The load balancer of a drained region still answers, and sends requests to the other regions.
        """
        routed = len(self.addresses) > 1
        dns.RecordSet(
            self._args.names.address(None),
            managed_zone=zone,
            name=f"{hostname}.",
            type="A",
            ttl=ROUTED_TTL_S if routed else TTL_S,
            rrdatas=None if routed else [self.addresses[0].value],
            routing_policy={"geos": [self._geo_target(each) for each in self.addresses]} if routed else None,
            opts=ResourceOptions(parent=self, depends_on=list(self._args.api_dependencies), delete_before_replace=True),
        )

    def _geo_target(self, address: RegionalAddress) -> dns.RecordSetRoutingPolicyGeoArgsDict:
        return {
            "location": address.region,
            "health_checked_targets": {
                "internal_load_balancers": [
                    {
                        "load_balancer_type": "globalL7ilb",
                        "ip_address": address.value,
                        "port": "80" if self._args.gateway.certificate is None else "443",
                        "ip_protocol": "tcp",
                        "network_url": self._args.networks[address.region].network,
                        "project": self._args.names.project,
                    }
                ]
            },
        }

    def _zone(self) -> Output[str] | None:
        match self._args.gateway.dns_zone:
            case NewDnsZone() as new:
                return self._new_zone(new).name
            case ExistingDnsZone() as existing:
                return Output.from_input(existing.name)
            case None:
                return None

    def _new_zone(self, new: NewDnsZone) -> dns.ManagedZone:
        name = self._args.names.dns_zone()
        network = next(iter(self._args.networks.values())).network
        return dns.ManagedZone(
            name,
            name=name,
            dns_name=f"{new.domain}.",
            description="Names of the inference gateway",
            visibility="public" if self._external else "private",
            private_visibility_config=None if self._external else {"networks": [{"network_url": network}]},
            dnssec_config={"state": "on"} if self._external else None,
            deletion_policy=self._deletion_policy,
            opts=self._protected,
        )

    def _certificate(self) -> Output[str] | None:
        match self._args.gateway.certificate, self._args.gateway.hostname:
            case ExistingCertificate() as existing, _:
                return Output.from_input(existing.name)
            case ManagedCertificate() as managed, str() as hostname:
                certificate = self._managed_certificate(managed, hostname)
                return self._certificate_map(certificate, hostname).name if self._external else certificate.name
            case _:
                return None

    def _managed_certificate(self, managed: ManagedCertificate, hostname: str) -> certificatemanager.Certificate:
        """Create a managed certificate with its DNS authorization. Its scope is the load balancer's: all regions,
        one region, or Google's edge."""
        names = self._args.names
        regional = not self._external and not self._args.multi_cluster
        location = next(iter(self._args.networks)) if regional else "global"
        authorization = certificatemanager.DnsAuthorization(
            names.dns_authorization(),
            name=names.dns_authorization(),
            domain=hostname,
            location=location,
            type="PER_PROJECT_RECORD" if regional else "FIXED_RECORD",
            opts=self._child,
        )
        record = authorization.dns_resource_records[0]
        authorization_record = dns.RecordSet(
            f"{names.dns_authorization()}-proof",
            managed_zone=managed.dns_authorization_zone,
            name=_field(record, "name"),
            type=_field(record, "type"),
            ttl=300,
            rrdatas=[_field(record, "data")],
            opts=ResourceOptions(parent=self, delete_before_replace=True),
        )
        return certificatemanager.Certificate(
            names.certificate(),
            name=names.certificate(),
            location=location,
            scope="ALL_REGIONS" if not self._external and self._args.multi_cluster else "DEFAULT",
            managed={"domains": [hostname], "dns_authorizations": [authorization.id]},
            opts=ResourceOptions(parent=self, depends_on=[authorization_record], delete_before_replace=True),
        )

    def _certificate_map(
        self, certificate: certificatemanager.Certificate, hostname: str
    ) -> certificatemanager.CertificateMap:
        """Create a certificate map: global external load balancers accept a certificate only through a map."""
        name = self._args.names.certificate()
        certificate_map = certificatemanager.CertificateMap(name, name=name, opts=self._child)
        certificatemanager.CertificateMapEntry(
            name,
            name=name,
            map=certificate_map.name,
            hostname=hostname,
            certificates=[certificate.id],
            opts=self._child,
        )
        return certificate_map

    def _security_policy(self, armor: CloudArmor) -> Output[str]:
        name = self._args.names.security_policy()
        every_source: Input[str] = "*"
        return compute.SecurityPolicy(
            name,
            name=name,
            type="CLOUD_ARMOR",
            adaptive_protection_config={"layer7_ddos_defense_config": {"enable": True}},
            rules=[
                {
                    "description": "Callers that are allowed, each at its rate",
                    "action": "throttle",
                    "priority": 1000,
                    "match": {
                        "versioned_expr": "SRC_IPS_V1",
                        "config": {"src_ip_ranges": [str(source) for source in armor.allowed_ip_ranges]},
                    },
                    "rate_limit_options": {
                        "conform_action": "allow",
                        "exceed_action": "deny(429)",
                        "enforce_on_key": "IP",
                        "rate_limit_threshold": {"count": armor.rate_limit_per_minute, "interval_sec": 60},
                    },
                },
                {
                    "description": "Everybody else",
                    "action": "deny(403)",
                    "priority": DEFAULT_RULE_PRIORITY,
                    "match": {"versioned_expr": "SRC_IPS_V1", "config": {"src_ip_ranges": [every_source]}},
                },
            ],
            opts=self._child,
        ).name


def _field(record: Output[certificatemanager.outputs.DnsAuthorizationDnsResourceRecord], part: str) -> Output[str]:
    return record.apply(lambda fields: str(getattr(fields, part)))
