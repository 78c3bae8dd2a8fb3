"""Kubernetes Secrets: the password of Redis and the token for Hugging Face.

KubeRay reads a Redis password from a Secret only. Both values are Pulumi secrets as well: encrypted in the state and
masked in every preview. GKE encrypts etcd with the environment's own key if `infra.kms_keys` names one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi import Output, ResourceOptions
from pulumi_kubernetes.core.v1 import Secret

REDIS = "redis-password"
HUGGING_FACE = "hugging-face-token"


@dataclass(frozen=True)
class SecretKeyRef:
    """One key of a Secret."""

    secret: str
    """Name of the Secret."""
    key: str = "value"

    @property
    def reference(self) -> Mapping[str, Mapping[str, str]]:
        """The value of `valueFrom` in an environment variable."""
        return {"secretKeyRef": {"name": self.secret, "key": self.key}}


def kubernetes_secret(
    name: str, key: SecretKeyRef, namespace: str, value: Output[str], opts: ResourceOptions
) -> Secret:
    """Declare a Secret with `value` under `key`. Pods read it at their start, so a new value reaches new pods only."""
    return Secret(
        name,
        metadata={"name": key.secret, "namespace": namespace},
        string_data={key.key: pulumi.Output.secret(value)},
        opts=opts,
    )
