"""Run the policy pack. Pulumi starts this program: `pulumi preview --policy-pack policies`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pulumi_policy import (
    EnforcementLevel,
    PolicyConfigSchema,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)

from policies.base import PROTECT, Policy, Resource, StackPolicy
from policies.inputs import plain
from policies.pack import POLICIES, STACK_POLICIES

STACK_POLICY_TYPES = {token for policy in STACK_POLICIES for token in policy.types}
inputs_by_urn: dict[str, Mapping[str, Any]] = {}
"""Inputs that the resource policies received, for the stack policies.

Pulumi gives stack policies outputs, and no properties at all for a resource whose provider it cannot configure yet. In
the preview that creates a cluster, this is every object in that cluster.
"""


def _resource_policy(policy: Policy) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type in STACK_POLICY_TYPES:
            inputs_by_urn[args.urn] = plain(args.props)
        if args.resource_type in policy.types:
            for message in policy.violations({**plain(args.props), PROTECT: args.opts.protect}):
                report(message, None)

    return ResourceValidationPolicy(policy.name, policy.description, validate, severity=Severity(policy.severity))


def _stack_policy(policy: StackPolicy) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = [
            Resource(
                resource.resource_type,
                resource.name,
                inputs_by_urn[resource.urn] if resource.urn in inputs_by_urn else plain(resource.props),
                resource.urn,
                resource.provider.urn if resource.provider else "",
            )
            for resource in args.resources
            if resource.resource_type in policy.types
        ]
        for message, resource in policy.violations(resources, args.get_config()):
            report(message, resource.urn if resource else None)

    return StackValidationPolicy(
        policy.name,
        policy.description,
        validate,
        enforcement_level=EnforcementLevel.ADVISORY if policy.advisory else None,
        config_schema=PolicyConfigSchema({name: dict(schema) for name, schema in (policy.config_schema or {}).items()}),
        severity=Severity(policy.severity),
    )


PolicyPack(
    "rayllm",
    [
        *(_resource_policy(policy) for policy in POLICIES),
        *(_stack_policy(policy) for policy in STACK_POLICIES),
    ],
    enforcement_level=EnforcementLevel.MANDATORY,
)
