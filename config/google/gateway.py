"""`infra.gateway`: where requests arrive."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.base import Cidr, Settings, raise_issues
from config.google import ip_plan
from config.google.base import Hostname, ResourceName
from config.issues import ConfigIssue, Rule

PRIVATE_TOP_LEVEL_DOMAINS = ("internal", "local", "localhost", "lan", "home", "corp", "test", "invalid", "example")
"""Top-level domains that the public DNS does not have."""

CLOUD_ARMOR_MISSING = Rule(
    "infra.gateway.cloud-armor-missing",
    problem="missing with `exposure: external`",
    reason="anyone on the internet could use your GPUs",
    fix="Write cloud_armor with allowed_ip_ranges, or `exposure: internal`",
)
CLOUD_ARMOR_ON_INTERNAL = Rule(
    "infra.gateway.cloud-armor-on-internal",
    problem="set with `exposure: internal`",
    reason="no page of Google says that Cloud Armor works with cross-region internal load balancers",
    fix="Remove cloud_armor (only the VPC reaches an internal gateway), or write `exposure: external`",
)
CERTIFICATE_MISSING = Rule(
    "infra.gateway.certificate-missing",
    problem="missing with `exposure: external`",
    reason="prompts, answers and API keys would cross the internet in clear text",
    fix="Write hostname and certificate",
)
HOSTNAME_MISSING_FOR_CERTIFICATE = Rule(
    "infra.gateway.hostname-missing-for-certificate",
    problem="missing with `certificate.kind: managed`",
    reason="Google issues a certificate for a host name",
    fix="Write the host name that clients use",
)
CERTIFICATE_PRIVATE_DOMAIN = Rule(
    "infra.gateway.certificate-private-domain",
    problem="{hostname} cannot have a managed certificate",
    reason="Google issues certificates for names in the public DNS only, and .{top} is not in it",
    fix="Write a host name of a domain that you own, or `certificate.kind: existing`",
)
CLOUD_ARMOR_PRIVATE_RANGE = Rule(
    "infra.gateway.cloud-armor-private-range",
    problem="{source} is a private range",
    reason="requests come from the internet, and their addresses are public",
    fix="Write public ranges, or `exposure: internal`",
)
HOSTNAME_OUTSIDE_DNS_ZONE = Rule(
    "infra.gateway.hostname-outside-dns-zone",
    problem="{hostname} is not below dns_zone.domain {domain}",
    reason="the zone holds the record of the host name",
    fix="Write a host name that ends with .{domain}",
)
HOSTNAME_MISSING_FOR_DNS_ZONE = Rule(
    "infra.gateway.hostname-missing-for-dns-zone",
    problem="missing with dns_zone",
    reason="the zone would stay empty",
    fix="Write the host name that clients use",
)


class Exposure(StrEnum):
    """Who can reach the gateway."""

    INTERNAL = "internal"
    EXTERNAL = "external"


class GatewayClass(StrEnum):
    """The GKE GatewayClasses that this stack uses."""

    REGIONAL_INTERNAL = "gke-l7-rilb"
    CROSS_REGIONAL_INTERNAL = "gke-l7-cross-regional-internal-managed-mc"
    GLOBAL_EXTERNAL = "gke-l7-global-external-managed"
    GLOBAL_EXTERNAL_MULTI_CLUSTER = "gke-l7-global-external-managed-mc"


class CloudArmor(Settings):
    """Cloud Armor security policy of an external gateway. It answers every other request with 403."""

    allowed_ip_ranges: tuple[Cidr, ...] = Field(min_length=1, max_length=10)
    """Source IP ranges that may send requests; 0.0.0.0/0 for everyone, at the rate below."""
    rate_limit_per_minute: int = Field(default=600, ge=1, le=1_000_000)
    """Requests a minute from one address; the policy answers more with 429."""


class NewDnsZone(Settings):
    """A Cloud DNS zone that this stack creates: private with `exposure: internal`, else public (delegate it at your
    registrar)."""

    kind: Literal["new"]
    """Create a zone."""
    domain: Hostname
    """Domain of the zone, without a dot at the end."""


class ExistingDnsZone(Settings):
    """A Cloud DNS zone of the same project."""

    kind: Literal["existing"]
    """Use an existing zone."""
    name: ResourceName
    """Name of the managed zone. With `exposure: internal` it must be a private zone of the VPC."""


DnsZone = Annotated[NewDnsZone | ExistingDnsZone, Field(discriminator="kind")]


class ManagedCertificate(Settings):
    """A certificate that Google issues and renews."""

    kind: Literal["managed"]
    """Let Google issue a certificate."""
    dns_authorization_zone: ResourceName
    """Public Cloud DNS zone of the same project that holds the host name's domain. A record there (DNS authorization)
    proves that you own the domain."""


class ExistingCertificate(Settings):
    """A certificate that is in Certificate Manager already, for example from your own certificate authority."""

    kind: Literal["existing"]
    """Use an existing certificate."""
    name: ResourceName
    """Name of the certificate; with `exposure: external`, name of the certificate map."""


CertificateSource = Annotated[ManagedCertificate | ExistingCertificate, Field(discriminator="kind")]


class GatewaySettings(Settings):
    """Where requests arrive. Everyone who reaches the address may send requests: with `exposure: internal` the VPC and
    the networks connected to it, with `exposure: external` the ranges that Cloud Armor allows. The models require no
    key."""

    exposure: Exposure = Exposure.INTERNAL
    """`internal`: the VPC and the networks connected to it. `external`: the internet, through Cloud Armor."""
    multi_cluster: bool | None = None
    """True: a GatewayClass that reaches the clusters of several regions; null: true if there are several regions. With
    true from the start, a second region needs no new gateway."""
    config_cluster_region: str | None = None
    """Region of the config cluster, which holds Gateway and HTTPRoute; null for the first region."""
    hostname: Hostname | None = None
    """Host name that clients use."""
    dns_zone: DnsZone | None = None
    """Zone for the record of the host name."""
    certificate: CertificateSource | None = None
    """Certificate for HTTPS; null with `exposure: internal` is plain HTTP inside the VPC."""
    cloud_armor: CloudArmor | None = None
    """Cloud Armor. Required with `exposure: external`, and allowed only there."""

    @model_validator(mode="after")
    def _check(self) -> GatewaySettings:
        return raise_issues(self, self._issues())

    def _issues(self) -> Iterator[ConfigIssue]:
        external = self.exposure is Exposure.EXTERNAL
        if external and self.cloud_armor is None:
            yield CLOUD_ARMOR_MISSING.issue("cloud_armor")
        if not external and self.cloud_armor is not None:
            yield CLOUD_ARMOR_ON_INTERNAL.issue("cloud_armor")
        if external and self.certificate is None:
            yield CERTIFICATE_MISSING.issue("certificate")
        if self.cloud_armor and external:
            for index, source in enumerate(self.cloud_armor.allowed_ip_ranges):
                if ip_plan.is_private(source):
                    yield CLOUD_ARMOR_PRIVATE_RANGE.issue(f"cloud_armor.allowed_ip_ranges[{index}]", source=source)
        yield from self._hostname_issues()

    def _hostname_issues(self) -> Iterator[ConfigIssue]:
        hostname, managed = self.hostname, isinstance(self.certificate, ManagedCertificate)
        if hostname is None:
            if managed:
                yield HOSTNAME_MISSING_FOR_CERTIFICATE.issue("hostname")
            if self.dns_zone is not None:
                yield HOSTNAME_MISSING_FOR_DNS_ZONE.issue("hostname")
            return
        if managed and (top := hostname.rpartition(".")[2]) in PRIVATE_TOP_LEVEL_DOMAINS:
            yield CERTIFICATE_PRIVATE_DOMAIN.issue("hostname", hostname=hostname, top=top)
        if isinstance(self.dns_zone, NewDnsZone) and not hostname.endswith(f".{self.dns_zone.domain}"):
            yield HOSTNAME_OUTSIDE_DNS_ZONE.issue("hostname", hostname=hostname, domain=self.dns_zone.domain)
