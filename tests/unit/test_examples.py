"""Each example stands for a public file: the same arguments, replicas, GPUs and environment, or a reason."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml

from config.google.infra import GoogleInfra
from config.issues import ConfigError
from config.secret_patterns import SECRET_ENV_VAR
from config.stack import StackConfig, check
from tests.unit.case import blocks, edited
from tests.unit.ray_services import manifest_of, pods, service_args, variables
from tools.examples import EXAMPLES, SOURCES, PublicFile, flatten, public_files

FILES = {each.name: each for each in public_files()}
SHOWN = [name for name, each in FILES.items() if each.refused is None]
REFUSED = [name for name, each in FILES.items() if each.refused is not None]
TOKEN = "HF_TOKEN"
KEPT = ("name", "route", "max_rate_per_endpoint")
"""Settings of an additional model that it must have."""


def settings(name: str) -> dict[str, Any]:
    """Return `{infra: ..., serving: ...}` of an example."""
    config = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())["config"]
    return {block: config[f"rayllm:{block}"] for block in ("infra", "serving")}


def checked(raw: dict[str, Any]) -> StackConfig:
    return check("mine", raw, has_hugging_face_token=True)


def applied(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that the stack applies, by the paths of `PublicFile.fields`; `token` if it has a token."""
    config = checked(raw)
    assert isinstance(config.infra, GoogleInfra)
    (plan,) = config.region_plans.values()
    llm_configs: list[dict[str, Any]] = []
    env: dict[str, Any] = {}
    for service in plan.services:
        args = service_args(config, service)
        gated = service.service.model.gated
        whole = manifest_of(replace(args, hugging_face_token=args.hugging_face_token if gated else None))
        (application,) = whole["serveConfigV2"]["applications"]
        (llm_config,) = application["args"]["llm_configs"]
        env |= llm_config.pop("runtime_env", {}).get("env_vars", {})
        env |= next(variables(pod) for group, pod in pods(whole).items() if group != "head")
        llm_configs.append(llm_config)
    token = {"token": True} if env.pop(TOKEN, None) else {}
    return {**flatten(llm_configs), **{f"env.{name}": value for name, value in env.items()}, **token}


def own(name: str) -> dict[str, Any]:
    """Return what the stack applies to any model on the GPUs of example `name`, with its kinds of router, adapters and
    replicas but without its options."""
    raw = settings(name)

    def bare(service: dict[str, Any]) -> dict[str, Any]:
        kept = {key: service[key] for key in (*KEPT, "data_path") if key in service}
        one = {"kind": service.get("replicas", {}).get("kind", "fixed")}
        limits = {"min_replicas": 1, "max_replicas": 1} if one["kind"] == "autoscaling" else {}
        source = service["model"]["source"]  # a bucket decides how the weights arrive
        model: dict[str, Any] = {"id": "m", "source": source if source.startswith("gs://") else "other/m"}
        if lora := service["model"].get("lora"):
            model["lora"] = {"dynamic_lora_loading_path": lora["dynamic_lora_loading_path"]}
        if router := service.get("request_router"):
            kept["request_router"] = router["kind"] if isinstance(router, dict) else router
        return {**kept, "model": model, "replicas": {**one, **limits}}

    kubernetes = dict(raw["serving"]["kubernetes"])
    if "additional_models" in kubernetes:
        kubernetes["additional_models"] = [bare(each) for each in kubernetes["additional_models"]]
    return applied({**raw, "serving": {**bare(raw["serving"]), "kubernetes": kubernetes}})


def differing(file: PublicFile) -> set[str]:
    """Return the fields in which the example and the public file differ.

    A file that names no model_id serves the model under the name of its source; the example may name it.
    """
    theirs = {**file.fields, **({"token": True} if file.token else {})}
    ours, default = applied(settings(file.name)), own(file.name)
    added = {path for path, value in ours.items() if path not in theirs and default.get(path) != value}
    return {path for path in added if not path.endswith("model_id")} | {
        path for path, value in theirs.items() if ours.get(path) != value
    }


@pytest.mark.parametrize("name", SHOWN)
def test_what_differs_from_the_public_file_is_what_has_a_reason(name: str) -> None:
    assert differing(FILES[name]) == set(FILES[name].differences)


@pytest.mark.parametrize(
    ("name", "path"),
    [(name, path) for name in SHOWN for path, each in FILES[name].differences.items() if each.rule],
)
def test_a_rule_refuses_the_value_that_an_example_leaves_out(name: str, path: str) -> None:
    file = FILES[name]
    assert path.startswith(("engine_kwargs.", "env."))
    written = edited(settings(name), {f"serving.engine.{path}": file.fields[path]})
    with pytest.raises(ConfigError) as refused:
        checked(written)
    assert {issue.rule for issue in refused.value.issues} == {file.differences[path].rule}


@pytest.mark.parametrize("name", SHOWN)
def test_no_plain_variable_has_a_name_that_the_policies_take_for_a_secret(name: str) -> None:
    variables = [path.removeprefix("env.") for path in applied(settings(name)) if path.startswith("env.")]
    assert [variable for variable in variables if SECRET_ENV_VAR.search(variable)] == []


@pytest.mark.parametrize("name", REFUSED)
def test_the_rules_refuse_a_public_file_that_has_no_example(name: str) -> None:
    refusal = FILES[name].refused
    assert refusal is not None
    with pytest.raises(ConfigError) as refused:
        checked(edited(blocks(refusal.stack), dict(refusal.edit)))
    assert {issue.rule for issue in refused.value.issues} == set(refusal.rules)


def test_there_are_thirty_files_and_24_examples() -> None:
    assert len(FILES) >= 30
    assert len(SHOWN) >= 24
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(SHOWN)


@pytest.mark.parametrize("name", FILES)
def test_a_record_names_the_repository_the_path_the_commit_and_the_licence(name: str) -> None:
    source = FILES[name].source
    assert set(source) - {"entry"} == {"repository", "path", "commit", "licence"}
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", source["repository"])
    assert re.fullmatch(r"[0-9a-f]{40}", source["commit"])
    assert source["licence"] == "Apache-2.0"
    assert SOURCES.joinpath(f"{name}.yaml").read_text().startswith("source:")
