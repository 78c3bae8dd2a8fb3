"""All policies."""

from __future__ import annotations

from policies import cost, data, gpus, identity, images, labels, network, ray, reliability

POLICIES = (
    *network.POLICIES,
    *identity.POLICIES,
    *data.POLICIES,
    *gpus.POLICIES,
    *reliability.POLICIES,
    *ray.POLICIES,
    *images.POLICIES,
    *labels.POLICIES,
)
"""Of one resource each."""
STACK_POLICIES = (*network.STACK_POLICIES, *reliability.STACK_POLICIES, *cost.STACK_POLICIES)
"""Of what a stack has together."""
