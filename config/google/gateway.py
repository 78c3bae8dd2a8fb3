"""`infra.gateway`: where requests come in."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.base import Range, Settings
from config.google import ip_plan
from config.google.base import Found, Hostname, ResourceName, _all_or_itself
from config.issues import Rule

PRIVATE_TOPS = ("internal", "local", "localhost", "lan", "home", "corp", "test", "invalid", "example")
"""Last parts of names that no public DNS has."""


class Exposure(StrEnum):
    """Who can reach the entrance."""

    PRIVATE = "private"
    PUBLIC = "public"


class GatewayClass(StrEnum):
    """The GKE GatewayClasses that this stack uses."""

    REGIONAL_INTERNAL = "gke-l7-rilb"
    CROSS_REGIONAL_INTERNAL = "gke-l7-cross-regional-internal-managed-mc"
    GLOBAL_EXTERNAL = "gke-l7-global-external-managed"
    GLOBAL_EXTERNAL_MULTI_CLUSTER = "gke-l7-global-external-managed-mc"


class CloudArmor(Settings):
    """The security policy in front of a public entrance; whatever it does not allow is answered with 403."""

    allowed_sources: tuple[Range, ...] = Field(min_length=1, max_length=10)
    """Who may call; 0.0.0.0/0 for everybody, at the rate below."""
    requests_per_minute: int = Field(default=600, ge=1)
    """Of one client address; beyond it, 429."""


class NewZone(Settings):
    """A Cloud DNS zone made here: private with exposure: private, else public (delegate it at your registrar)."""

    kind: Literal["new"]
    """Make one."""
    domain: Hostname
    """What it holds names of, without a dot at the end."""


class ExistingZone(Settings):
    """A Cloud DNS zone of the same project."""

    kind: Literal["existing"]
    """Use one."""
    name: ResourceName
    """The managed zone's name. With exposure: private it must be a private zone of the VPC."""


DnsZone = Annotated[NewZone | ExistingZone, Field(discriminator="kind")]


class ManagedCertificate(Settings):
    """A certificate that Google issues and renews."""

    kind: Literal["managed"]
    """Let Google issue one."""
    authorization_zone: ResourceName
    """Public Cloud DNS zone of the same project that the hostname's domain is in: a record there proves that it is
    yours."""


class ExistingCertificate(Settings):
    """A certificate that is in Certificate Manager already (your own authority's, for instance)."""

    kind: Literal["existing"]
    """Use one."""
    name: ResourceName
    """Of the certificate; with exposure: public, of the certificate map."""


CertificateSource = Annotated[ManagedCertificate | ExistingCertificate, Field(discriminator="kind")]


class NetworkCallers(Settings):
    """Whoever reaches the address may call, and is asked for nothing: with exposure: private everything in the VPC and
    in networks connected to it, with exposure: public what Cloud Armor allows. The models behind it ask for no key."""

    kind: Literal["network"] = "network"
    """By where they are. Others are not offered yet: docs/decisions/0009-what-the-entrance-routes-by.md."""


class Gateway(Settings):
    """Where requests come in."""

    exposure: Exposure = Exposure.PRIVATE
    """`private`: only the VPC and what is connected to it. `public`: the internet, through Cloud Armor."""
    multi_cluster: bool | None = None
    """A class that reaches clusters of several regions; null: where there are several. True from the start lets a
    second region join without a new entrance."""
    config_region: str | None = None
    """Region of the config cluster; the first region by default."""
    hostname: Hostname | None = None
    """What clients call it."""
    dns_zone: DnsZone | None = None
    """Where the hostname's record goes."""
    certificate: CertificateSource | None = None
    """For HTTPS; null with exposure: private is plain HTTP inside the VPC."""
    cloud_armor: CloudArmor | None = None
    """Required with exposure: public, and only there."""
    callers: NetworkCallers = NetworkCallers()
    """What lets a caller in."""

    @model_validator(mode="after")
    def _fits(self) -> Gateway:
        return _all_or_itself(self, self._refusals())

    def _refusals(self) -> Iterator[Found]:
        public = self.exposure is Exposure.PUBLIC
        if public and self.cloud_armor is None:
            yield (), PUBLIC_WITHOUT_ARMOR.refusal()
        if not public and self.cloud_armor is not None:
            yield (), ARMOR_ON_PRIVATE.refusal()
        if public and self.certificate is None:
            yield (), PUBLIC_WITHOUT_TLS.refusal()
        if isinstance(self.certificate, ManagedCertificate):
            if self.hostname is None:
                yield (), CERTIFICATE_WITHOUT_HOSTNAME.refusal()
            elif (top := self.hostname.rpartition(".")[2]) in PRIVATE_TOPS:
                yield (), CERTIFICATE_PRIVATE_NAME.refusal(hostname=self.hostname, top=top)
        for source in self.cloud_armor.allowed_sources if self.cloud_armor and public else ():
            if ip_plan.is_private(source):
                yield (), ARMOR_PRIVATE.refusal(source=source)
        if self.dns_zone is not None and self.hostname is None:
            yield (), ZONE_WITHOUT_HOSTNAME.refusal()
        if isinstance(self.dns_zone, NewZone) and self.hostname is not None:
            domain = self.dns_zone.domain
            if not self.hostname.endswith(f".{domain}"):
                yield (), HOSTNAME_ELSEWHERE.refusal(hostname=self.hostname, domain=domain)


PUBLIC_WITHOUT_ARMOR = Rule(
    "google.public-without-armor",
    wrong="gateway.exposure is public without gateway.cloud_armor",
    why="anyone on the internet could spend your GPU hours",
    instead="write cloud_armor with the allowed_sources, or exposure: private",
)
ARMOR_ON_PRIVATE = Rule(
    "google.armor-on-private",
    wrong="gateway.cloud_armor is set with exposure: private",
    why="no page of Google's says that Cloud Armor works with cross-region internal load balancers",
    instead="take cloud_armor out (only the VPC reaches a private entrance), or write exposure: public",
)
PUBLIC_WITHOUT_TLS = Rule(
    "google.public-without-tls",
    wrong="gateway.exposure is public without gateway.certificate",
    why="prompts, answers and API keys would cross the internet in clear text",
    instead="write hostname and certificate",
)
CERTIFICATE_WITHOUT_HOSTNAME = Rule(
    "google.certificate-without-hostname",
    wrong="gateway.certificate.kind is managed without gateway.hostname",
    why="Google issues a certificate for a name",
    instead="write the hostname that clients will use",
)
CERTIFICATE_PRIVATE_NAME = Rule(
    "google.certificate-for-a-private-name",
    wrong="gateway.certificate.kind is managed for {hostname}",
    why="Google issues certificates for names in the public DNS only, and .{top} is not in it",
    instead="write a hostname of a domain that you own, or certificate.kind: existing",
)
ARMOR_PRIVATE = Rule(
    "google.armor-private-source",
    wrong="gateway.cloud_armor.allowed_sources has {source}",
    why="callers come from the internet, and none of them has a private address",
    instead="write public addresses, or exposure: private",
)
HOSTNAME_ELSEWHERE = Rule(
    "google.hostname-elsewhere",
    wrong="gateway.hostname {hostname} is not below gateway.dns_zone.domain {domain}",
    why="its record goes into that zone",
    instead="write a hostname that ends with .{domain}",
)
ZONE_WITHOUT_HOSTNAME = Rule(
    "google.zone-without-hostname",
    wrong="gateway.dns_zone is set without gateway.hostname",
    why="the zone would stay empty",
    instead="write the hostname that clients will use",
)
