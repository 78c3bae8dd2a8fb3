"""The pack: `pulumi preview --policy-pack policies`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
)

from policies.kit import Policy, plain
from policies.pack import POLICIES


def _made(policy: Policy) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type in policy.types:
            for sentence in policy.broken(plain(args.props)):
                report(sentence, None)

    return ResourceValidationPolicy(policy.name, policy.risk, validate, severity=Severity(policy.severity))


PolicyPack("rayllm", [_made(each) for each in POLICIES], enforcement_level=EnforcementLevel.MANDATORY)
