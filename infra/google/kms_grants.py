"""Your own Cloud KMS keys: the service agents that may use them."""

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
    project: Project
    kms_keys: Mapping[str, str]
    """Location -> key."""
    uses: Sequence[tuple[str, str]]
    """Location and service of what is encrypted."""
    api_dependencies: Mapping[str, Sequence[pulumi.Resource]]
    """Service -> what its agent exists after."""


class KmsKeyGrants(pulumi.ComponentResource):
    """Makes: each service agent's right to use each key.

    Does not: make or rotate keys.
    Replaces: a grant when a key changes; what the key encrypts is replaced where it is made.
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
