"""Engine arguments against the tables of config/vllm/, and the tables against the vLLM that is installed."""

import hashlib
import json
import re
from typing import Any

import pytest

import versions
from config import engine_arguments
from config.model_service import Engine, Model, ModelService
from config.unsafe_arguments import used
from config.vllm import tables
from config.vllm.env_vars import vllm_of_ray
from config.vllm.replaced import REPLACEMENTS
from config.vllm.schema import find_differences
from paths import CHECKOUT
from tools.vllm.write_tables import format_table

VLLMS = sorted(set(vllm_of_ray().values()))


def service(**arguments: Any) -> ModelService:
    return ModelService(
        model=Model(id="m"), engine=Engine(engine_kwargs=arguments, unsafe_arguments=tuple(used(arguments)))
    )


def rules(ray: str = versions.RAY, **arguments: Any) -> list[str]:
    return [issue.rule for issue in engine_arguments.find_issues(service(**arguments), ray)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"speculative_config": {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 4}},
        {"compilation_config": {"mode": "vllm_compile", "cudagraph_mode": "FULL_AND_PIECEWISE"}},
        {"compilation_config": {"mode": 3, "pass_config": {"fuse_norm_quant": True}}},
        {"limit_mm_per_prompt": {"image": 4, "video": {"count": 1, "num_frames": 32}}},
        {
            "kv_transfer_config": {
                "kv_connector": "NixlConnector",
                "kv_role": "kv_both",
                "kv_connector_extra_config": {"a": 1},
            }
        },
        {"hf_overrides": {"rope_parameters": {"rope_theta": 1e6}}, "override_generation_config": {"top_p": 0.9}},
        {"attention_backend": "flashinfer", "optimization_level": 2, "cpu_offload_gb": 10, "seed": 7},
        {"quantization": None, "tokenizer_mode": "mistral", "load_format": "mistral"},
        {"structured_outputs_config": {"backend": "xgrammar"}, "pooler_config": {"pooling_type": "MEAN"}},
        {"lora_dtype": "auto", "cudagraph_capture_sizes": [1, 2, 4], "allowed_local_media_path": "/media"},
        {"eplb_config": {"num_redundant_experts": 32}, "enable_expert_parallel": True, "enable_eplb": True},
        {"default_chat_template_kwargs": {"enable_thinking": False}, "chat_template_content_format": "openai"},
    ],
    ids="-".join,
)
def test_values_that_vllm_takes_are_taken(arguments: dict[str, Any]) -> None:
    assert rules(**arguments) == []


def test_each_release_is_judged_by_the_vllm_of_its_own_ray() -> None:
    removed, added = {"max_num_partial_prefills": 2}, {"max_num_queued_reqs": 9}
    found = {ray: (rules(ray, **removed), rules(ray, **added)) for ray in ("2.56.1", "2.60.0")}
    assert found == {
        "2.56.1": ([], ["serving.engine.newer-argument"]),
        "2.60.0": (["serving.engine.removed-argument"], []),
    }


@pytest.mark.parametrize(
    ("ray", "vllm"),
    [("2.56.1", "0.22.0"), ("2.56.9", "0.22.0"), ("2.57.9", "0.25.1"), ("2.60.9", "0.29.0"), ("2.61.0", None)],
)
def test_a_patch_release_is_judged_by_its_minor_version_and_another_one_is_not(ray: str, vllm: str | None) -> None:
    found = tables.table_for(ray)
    assert (found.version if found else None) == vllm
    assert bool(rules(ray, zzz=1)) is (vllm is not None)


def test_a_parser_of_one_s_own_is_taken() -> None:
    assert rules(reasoning_parser="ours", reasoning_parser_plugin="/opt/ours.py") == []


def test_text_that_a_plugin_of_the_image_could_register_is_told_apart_from_vllm_s_own() -> None:
    found = dict(engine_arguments.unregistered_names(service(quantization="fp9", load_format="auto"), versions.RAY))
    assert list(found) == ["quantization"]
    assert "awq" in found["quantization"]


def test_every_table_has_the_arguments_that_replace_others() -> None:
    for vllm in VLLMS:
        known = tables.table(vllm)
        keys = {key for each in known.classes.values() for key in each["properties"]}
        for old, fix in REPLACEMENTS.items():
            named = {name for name in re.findall(r"`(\w+)(?:: \w+)?`", fix) if "_" in name}
            assert named <= known.arguments.keys() | keys, (vllm, old)


def test_every_replaced_argument_was_removed() -> None:
    assert REPLACEMENTS.keys() <= tables.removed_arguments().keys()
    newest = tables.table(VLLMS[-1])
    assert newest.arguments.keys() & tables.removed_arguments().keys() == set()


@pytest.mark.parametrize("vllm", VLLMS)
def test_a_table_refers_to_classes_that_it_has_and_is_written_as_generated(vllm: str) -> None:
    text = (tables.TABLES / f"{vllm}.json").read_text()
    table = json.loads(text)
    assert set(re.findall(r'"\$ref": "(\w+)"', text)) <= table["classes"].keys()
    assert format_table(table) == text
    assert "unwritable" not in json.dumps({k: v for k, v in table["arguments"].items() if k != "lora_modules"})


def test_every_choice_of_an_argument_is_taken() -> None:
    for vllm in VLLMS:
        table = tables.table(vllm)
        for name, schema in table.arguments.items():
            for option in schema.get("anyOf", [schema]):
                for choice in option.get("enum", ()):
                    assert list(find_differences(choice, schema, table.classes)) == [], (vllm, name)


def test_the_table_of_the_pinned_ray_is_made_from_the_installed_vllm() -> None:
    found = list(CHECKOUT.glob(".venv-ray/lib/python3*/site-packages/vllm"))
    if not found:
        pytest.skip("vLLM is not installed here; `make up` or the serving tier installs it")
    sources = json.loads((tables.TABLES / f"{vllm_of_ray()[versions.RAY]}.json").read_text())["sources"]
    digest = hashlib.sha256(b"".join((found[0] / file).read_bytes() for file in sources["files"])).hexdigest()
    assert digest == sources["sha256"], "run `make vllm-tables`"
