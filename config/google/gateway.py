"""`infra.gateway`: where requests come in."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.base import Cidr, Settings
from config.google import ip_plan
from config.google.base import Hostname, LocatedError, ResourceName, raise_all
from config.issues import Rule

PRIVATE_TOP_LEVEL_DOMAINS = ("internal", "local", "localhost", "lan", "home", "corp", "test", "invalid", "example")
"""Last parts of names that no public DNS has."""


class Exposure(StrEnum):
    """Who can reach the entrance."""

    INTERNAL = "internal"
    EXTERNAL = "external"


class GatewayClass(StrEnum):
    """The GKE GatewayClasses that this stack uses."""

    REGIONAL_INTERNAL = "gke-l7-rilb"
    CROSS_REGIONAL_INTERNAL = "gke-l7-cross-regional-internal-managed-mc"
    GLOBAL_EXTERNAL = "gke-l7-global-external-managed"
    GLOBAL_EXTERNAL_MULTI_CLUSTER = "gke-l7-global-external-managed-mc"


class CloudArmor(Settings):
    """The security policy in front of a public entrance; whatever it does not allow is answered with 403."""

    allowed_ip_ranges: tuple[Cidr, ...] = Field(min_length=1, max_length=10)
    """Who may call; 0.0.0.0/0 for everybody, at the rate below."""
    rate_limit_per_minute: int = Field(default=600, ge=1)
    """Of one client address; beyond it, 429."""


class NewDnsZone(Settings):
    """A Cloud DNS zone made here: private with exposure: internal, else public (delegate it at your registrar)."""

    kind: Literal["new"]
    """Make one."""
    domain: Hostname
    """What it holds names of, without a dot at the end."""


class ExistingDnsZone(Settings):
    """A Cloud DNS zone of the same project."""

    kind: Literal["existing"]
    """Use one."""
    name: ResourceName
    """The managed zone's name. With exposure: internal it must be a private zone of the VPC."""


DnsZone = Annotated[NewDnsZone | ExistingDnsZone, Field(discriminator="kind")]


class ManagedCertificate(Settings):
    """A certificate that Google issues and renews."""

    kind: Literal["managed"]
    """Let Google issue one."""
    dns_authorization_zone: ResourceName
    """Public Cloud DNS zone of the same project that the hostname's domain is in: a record there proves that it is
    yours."""


class ExistingCertificate(Settings):
    """A certificate that is in Certificate Manager already (your own authority's, for instance)."""

    kind: Literal["existing"]
    """Use one."""
    name: ResourceName
    """Of the certificate; with exposure: external, of the certificate map."""


CertificateSource = Annotated[ManagedCertificate | ExistingCertificate, Field(discriminator="kind")]


class GatewaySettings(Settings):
    """Where requests come in. Whoever reaches the address may call: with exposure: internal everything in the VPC
    and in networks connected to it, with exposure: external what Cloud Armor allows. The models behind it ask for no
    key."""

    exposure: Exposure = Exposure.INTERNAL
    """`internal`: only the VPC and what is connected to it. `external`: the internet, through Cloud Armor."""
    multi_cluster: bool | None = None
    """A class that reaches clusters of several regions; null: where there are several. True from the start lets a
    second region join without a new entrance."""
    config_cluster_region: str | None = None
    """Region of the config cluster; the first region by default."""
    hostname: Hostname | None = None
    """What clients call it."""
    dns_zone: DnsZone | None = None
    """Where the hostname's record goes."""
    certificate: CertificateSource | None = None
    """For HTTPS; null with exposure: internal is plain HTTP inside the VPC."""
    cloud_armor: CloudArmor | None = None
    """Required with exposure: external, and only there."""

    @model_validator(mode="after")
    def _fits(self) -> GatewaySettings:
        return raise_all(self, self._refusals())

    def _refusals(self) -> Iterator[LocatedError]:
        public = self.exposure is Exposure.EXTERNAL
        if public and self.cloud_armor is None:
            yield (), PUBLIC_WITHOUT_ARMOR.error()
        if not public and self.cloud_armor is not None:
            yield (), ARMOR_ON_PRIVATE.error()
        if public and self.certificate is None:
            yield (), PUBLIC_WITHOUT_TLS.error()
        if isinstance(self.certificate, ManagedCertificate):
            if self.hostname is None:
                yield (), CERTIFICATE_WITHOUT_HOSTNAME.error()
            elif (top := self.hostname.rpartition(".")[2]) in PRIVATE_TOP_LEVEL_DOMAINS:
                yield (), CERTIFICATE_PRIVATE_NAME.error(hostname=self.hostname, top=top)
        for source in self.cloud_armor.allowed_ip_ranges if self.cloud_armor and public else ():
            if ip_plan.is_private(source):
                yield (), ARMOR_PRIVATE.error(source=source)
        if self.dns_zone is not None and self.hostname is None:
            yield (), ZONE_WITHOUT_HOSTNAME.error()
        if isinstance(self.dns_zone, NewDnsZone) and self.hostname is not None:
            domain = self.dns_zone.domain
            if not self.hostname.endswith(f".{domain}"):
                yield (), HOSTNAME_ELSEWHERE.error(hostname=self.hostname, domain=domain)


PUBLIC_WITHOUT_ARMOR = Rule(
    "google.public-without-armor",
    problem="gateway.exposure is public without gateway.cloud_armor",
    reason="anyone on the internet could spend your GPU hours",
    fix="write cloud_armor with the allowed_ip_ranges, or exposure: internal",
)
ARMOR_ON_PRIVATE = Rule(
    "google.armor-on-private",
    problem="gateway.cloud_armor is set with exposure: internal",
    reason="no page of Google's says that Cloud Armor works with cross-region internal load balancers",
    fix="take cloud_armor out (only the VPC reaches a private entrance), or write exposure: external",
)
PUBLIC_WITHOUT_TLS = Rule(
    "google.public-without-tls",
    problem="gateway.exposure is public without gateway.certificate",
    reason="prompts, answers and API keys would cross the internet in clear text",
    fix="write hostname and certificate",
)
CERTIFICATE_WITHOUT_HOSTNAME = Rule(
    "google.certificate-without-hostname",
    problem="gateway.certificate.kind is managed without gateway.hostname",
    reason="Google issues a certificate for a name",
    fix="write the hostname that clients will use",
)
CERTIFICATE_PRIVATE_NAME = Rule(
    "google.certificate-for-a-private-name",
    problem="gateway.certificate.kind is managed for {hostname}",
    reason="Google issues certificates for names in the public DNS only, and .{top} is not in it",
    fix="write a hostname of a domain that you own, or certificate.kind: existing",
)
ARMOR_PRIVATE = Rule(
    "google.armor-private-source",
    problem="gateway.cloud_armor.allowed_ip_ranges has {source}",
    reason="callers come from the internet, and none of them has a private address",
    fix="write public addresses, or exposure: internal",
)
HOSTNAME_ELSEWHERE = Rule(
    "google.hostname-elsewhere",
    problem="gateway.hostname {hostname} is not below gateway.dns_zone.domain {domain}",
    reason="its record goes into that zone",
    fix="write a hostname that ends with .{domain}",
)
ZONE_WITHOUT_HOSTNAME = Rule(
    "google.zone-without-hostname",
    problem="gateway.dns_zone is set without gateway.hostname",
    reason="the zone would stay empty",
    fix="write the hostname that clients will use",
)
