"""Grants on the user's own Cloud KMS keys for Google's service agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi import ResourceOptions
from pulumi_gcp import kms

from config.google.project import Project
from infra.google.project_services import service_agent


@dataclass(frozen=True)
class KmsKeyGrantsArgs:
    """Arguments of `KmsKeyGrants`."""

    project: Project
    kms_keys: Mapping[str, str]
    """Location -> Cloud KMS key."""
    uses: Sequence[tuple[str, str]]
    """Location and service of every encrypted resource."""
    api_dependencies: Mapping[str, Sequence[pulumi.Resource]]
    """Service -> resources that create its service agent."""


class KmsKeyGrants(pulumi.ComponentResource):
    """The right of each service agent to use the key of its location.

    Does not create or rotate keys. A change of a key replaces its grants; the components of the encrypted resources
    replace these.
    """

    def __init__(self, name: str, args: KmsKeyGrantsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:KmsKeyGrants", name, {}, opts)
        self.grants: tuple[pulumi.Resource, ...] = tuple(
            kms.CryptoKeyIAMMember(
                f"{name}-{location}-{service}",
                crypto_key_id=args.kms_keys[location],
                role="roles/cloudkms.cryptoKeyEncrypterDecrypter",
                member=service_agent(args.project, service),
                opts=ResourceOptions(parent=self, depends_on=list(args.api_dependencies[service])),
            )
            for location, service in args.uses
        )
        self.register_outputs({})
