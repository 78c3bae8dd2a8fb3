"""What pods must know and nobody else: the password of Redis and the token for Hugging Face.

Both reach the cluster as Kubernetes Secrets (KubeRay takes a Redis password from nowhere else) and are secrets of
Pulumi's on the way: encrypted in the state, starred out in every preview. GKE encrypts etcd with the environment's own
key where one is given (infra.kms_keys).
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
    """One entry of a Secret."""

    secret: str
    key: str = "value"

    @property
    def reference(self) -> Mapping[str, Mapping[str, str]]:
        """As `valueFrom` takes it."""
        return {"secretKeyRef": {"name": self.secret, "key": self.key}}


def kubernetes_secret(
    name: str, key: SecretKeyRef, namespace: str, value: Output[str], opts: ResourceOptions
) -> Secret:
    """A Secret with `value` under `key`. Pods read it when they start: a new value reaches those that come after it."""
    return Secret(
        name,
        metadata={"name": key.secret, "namespace": namespace},
        string_data={key.key: pulumi.Output.secret(value)},
        opts=opts,
    )
