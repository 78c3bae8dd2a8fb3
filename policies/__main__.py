"""The pack: `pulumi preview --policy-pack policies`."""

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

OF_STACKS = {token for policy in STACK_POLICIES for token in policy.types}
seen: dict[str, Mapping[str, Any]] = {}
"""URN -> inputs. Policies for stacks are given outputs, and the engine has none at all of a resource whose provider it
cannot set up yet: in the preview that is to make a cluster, of everything in it."""


def _made(policy: Policy) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type in OF_STACKS:
            seen[args.urn] = plain(args.props)
        if args.resource_type in policy.types:
            for sentence in policy.violations({**plain(args.props), PROTECT: args.opts.protect}):
                report(sentence, None)

    return ResourceValidationPolicy(policy.name, policy.description, validate, severity=Severity(policy.severity))


def _made_of_all(policy: StackPolicy) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = [
            Resource(
                one.resource_type,
                one.name,
                seen[one.urn] if one.urn in seen else plain(one.props),
                one.urn,
                one.provider.urn if one.provider else "",
            )
            for one in args.resources
            if one.resource_type in policy.types
        ]
        for sentence, about in policy.violations(resources, args.get_config()):
            report(sentence, about.urn if about else None)

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
    [*(_made(each) for each in POLICIES), *(_made_of_all(each) for each in STACK_POLICIES)],
    enforcement_level=EnforcementLevel.MANDATORY,
)
