"""Every rule has a case: settings that break it, and it alone, refused with a sentence that says what to write.

Cases of one part of the settings lie in a module `issues_<part>.py` beside this one; this collects them.
"""

import importlib
import re
from pathlib import Path

import pytest

from config.issues import ConfigError, Rule
from config.stack import check
from tests.unit.case import Case

CASES: list[Case] = [
    case
    for module in sorted(Path(__file__).parent.glob("issues_*.py"))
    for case in importlib.import_module(f"tests.unit.{module.stem}").CASES
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_settings_that_cannot_work_are_refused_with_a_remedy(case: Case) -> None:
    check(case.stack, case.base())
    with pytest.raises(ConfigError) as refused:
        check(case.called or case.stack, case.broken())
    assert refused.value.rules == (case.rule,)
    (sentence,) = refused.value.sentences
    for word in case.says:
        assert word in sentence
    assert not re.search(r"\{\w+\}", sentence), "a fact was not filled in"
    assert sentence.endswith(".")


def test_every_rule_has_a_case() -> None:
    elsewhere = ("host.", "settings.file-unreadable", "settings.duplicate-key")  # test_local_host.py, test_loader.py
    own = {rule for rule in Rule.registry if not rule.startswith(elsewhere)}
    assert own - {case.rule for case in CASES} == set()


def test_every_sentence_has_the_same_form() -> None:
    for rule in Rule.registry.values():
        assert rule.fix[0].isupper() or rule.fix.startswith("{"), rule.id
        assert not rule.fix.endswith("."), rule.id
        assert not rule.problem.endswith("."), rule.id
        assert rule.reason, rule.id
        assert rule.id.split(".")[0] in ("settings", "infra", "serving", "compatibility", "host"), rule.id
