"""What the entrance stands on before there is a Gateway: addresses, DNS zone and record, certificate, Cloud Armor if
public."""

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

LAST = 2147483647
"""Priority of a security policy's default rule."""
TTL_S = 300
ROUTED_TTL_S = 30
"""Of a record that moves: what a failed region costs a client, at most."""


@dataclass(frozen=True)
class GatewayFrontendArgs:
    names: ResourceNames
    gateway: GatewaySettings
    multi_cluster: bool
    networks: Mapping[str, ClusterNetwork]
    """Region -> where its nodes are."""
    protect: bool
    api_dependencies: Sequence[pulumi.Resource]


class GatewayFrontendResources(pulumi.ComponentResource):
    """Makes: a reserved address in each region (one global address if public), the DNS zone, the hostname's record, the
    certificate with the record that proves whose the name is, and the security policy of a public entrance.

    Does not: make a Gateway: it comes with the workloads. Until then the name leads to addresses where nobody listens.
    Replaces: every address when `exposure` changes; the zone when its domain does; the record when the hostname does;
    the certificate when the hostname or the class does. Addresses and zone refuse while they are protected.
    """

    def __init__(self, name: str, args: GatewayFrontendArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:GatewayFrontend", name, {}, opts)
        self._args = args
        self._child = ResourceOptions(parent=self, depends_on=list(args.api_dependencies))
        self._kept = ResourceOptions(
            parent=self, depends_on=list(args.api_dependencies), protect=args.protect, delete_before_replace=True
        )
        self._deletion = "PREVENT" if args.protect else "DELETE"
        self._public = args.gateway.exposure is Exposure.EXTERNAL
        self.reserved: list[pulumi.Resource] = []
        """The addresses, which must outlive the Gateway that uses them."""
        self.addresses = self._addresses()
        self.dns_zone = self._zone()
        if self.dns_zone is not None and args.gateway.hostname is not None:
            self._record(self.dns_zone, args.gateway.hostname)
        self.certificate = self._certificate()
        self.security_policy = self._armor(args.gateway.cloud_armor) if args.gateway.cloud_armor else None
        self.register_outputs({})

    def _addresses(self) -> tuple[RegionalAddress, ...]:
        names = self._args.names
        if self._public:
            name = names.address(None)
            one = compute.GlobalAddress(name, name=name, deletion_policy=self._deletion, opts=self._kept)
            self.reserved.append(one)
            return (RegionalAddress("global", name, one.address),)
        found: list[RegionalAddress] = []
        for region, network in self._args.networks.items():
            name = names.address(region)
            one = compute.Address(
                name,
                name=name,
                region=region,
                address_type="INTERNAL",
                purpose="SHARED_LOADBALANCER_VIP",
                subnetwork=network.subnetwork,
                deletion_policy=self._deletion,
                opts=self._kept,
            )
            self.reserved.append(one)
            found.append(RegionalAddress(region, name, one.address))
        return tuple(found)

    def _record(self, zone: Output[str], hostname: str) -> None:
        """One address: that one. Several: the nearest whose load balancer is healthy (Cloud DNS asks it, in private
        zones only); a drained region's still answers, and sends requests on to the others."""
        several = len(self.addresses) > 1
        dns.RecordSet(
            self._args.names.address(None),
            managed_zone=zone,
            name=f"{hostname}.",
            type="A",
            ttl=ROUTED_TTL_S if several else TTL_S,
            rrdatas=None if several else [self.addresses[0].value],
            routing_policy={"geos": [self._target(each) for each in self.addresses]} if several else None,
            opts=ResourceOptions(parent=self, depends_on=list(self._args.api_dependencies), delete_before_replace=True),
        )

    def _target(self, address: RegionalAddress) -> dns.RecordSetRoutingPolicyGeoArgsDict:
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
            description="Names of the inference entrance",
            visibility="public" if self._public else "private",
            private_visibility_config=None if self._public else {"networks": [{"network_url": network}]},
            dnssec_config={"state": "on"} if self._public else None,
            deletion_policy=self._deletion,
            opts=self._kept,
        )

    def _certificate(self) -> Output[str] | None:
        match self._args.gateway.certificate, self._args.gateway.hostname:
            case ExistingCertificate() as existing, _:
                return Output.from_input(existing.name)
            case ManagedCertificate() as managed, str() as hostname:
                certificate = self._managed(managed, hostname)
                return self._map(certificate, hostname).name if self._public else certificate.name
            case _:
                return None

    def _managed(self, managed: ManagedCertificate, hostname: str) -> certificatemanager.Certificate:
        """Its scope is the load balancer's: all regions, one region, or Google's edge."""
        names = self._args.names
        regional = not self._public and not self._args.multi_cluster
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
        proof = dns.RecordSet(
            f"{names.dns_authorization()}-proof",
            managed_zone=managed.dns_authorization_zone,
            name=_text(record, "name"),
            type=_text(record, "type"),
            ttl=300,
            rrdatas=[_text(record, "data")],
            opts=ResourceOptions(parent=self, delete_before_replace=True),
        )
        return certificatemanager.Certificate(
            names.certificate(),
            name=names.certificate(),
            location=location,
            scope="ALL_REGIONS" if not self._public and self._args.multi_cluster else "DEFAULT",
            managed={"domains": [hostname], "dns_authorizations": [authorization.id]},
            opts=ResourceOptions(parent=self, depends_on=[proof], delete_before_replace=True),
        )

    def _map(self, certificate: certificatemanager.Certificate, hostname: str) -> certificatemanager.CertificateMap:
        """Global external load balancers take a certificate through a map only."""
        name = self._args.names.certificate()
        whole = certificatemanager.CertificateMap(name, name=name, opts=self._child)
        certificatemanager.CertificateMapEntry(
            name, name=name, map=whole.name, hostname=hostname, certificates=[certificate.id], opts=self._child
        )
        return whole

    def _armor(self, armor: CloudArmor) -> Output[str]:
        name = self._args.names.security_policy()
        everyone: Input[str] = "*"
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
                    "priority": LAST,
                    "match": {"versioned_expr": "SRC_IPS_V1", "config": {"src_ip_ranges": [everyone]}},
                },
            ],
            opts=self._child,
        ).name


def _text(record: Output[certificatemanager.outputs.DnsAuthorizationDnsResourceRecord], part: str) -> Output[str]:
    return record.apply(lambda one: str(getattr(one, part)))
