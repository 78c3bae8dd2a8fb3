"""All policies."""

from __future__ import annotations

from policies import data, gpus, identity, labels, network, ray

POLICIES = (
    *network.POLICIES,
    *identity.POLICIES,
    *data.POLICIES,
    *gpus.POLICIES,
    *ray.POLICIES,
    *labels.POLICIES,
)
