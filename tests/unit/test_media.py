"""What workers may fetch for a request, as the Serve configuration says it."""

from __future__ import annotations

from typing import Any

import pytest

from config.media import NO_HOST, Media
from config.unsafe_arguments import UNSAFE_ARGUMENTS, used
from config.vllm.env_vars import vllm_of_ray
from config.vllm.tables import table
from tests.unit.ray_services import manifest

VLLMS = sorted(set(vllm_of_ray().values()))


def llm_config(media: dict[str, Any]) -> dict[str, Any]:
    """Return the LLMConfig of dev with `media`."""
    (config,) = manifest("dev", {"serving.media": media})["serveConfigV2"]["applications"][0]["args"]["llm_configs"]
    return config


def test_no_host_is_the_default_and_never_an_empty_list() -> None:
    """vLLM reads an empty list as every host (MediaConnector._assert_url_in_allowed_media_domains)."""
    config = llm_config({})
    assert config["engine_kwargs"]["allowed_media_domains"] == [NO_HOST]
    assert NO_HOST.endswith(".invalid")
    assert "language_model_only" not in config["engine_kwargs"]
    assert config["runtime_env"]["env_vars"]["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == "0"


def test_hosts_are_written_as_they_are() -> None:
    hosts = ["images.example.com", "storage.googleapis.com"]
    assert llm_config({"allowed_hosts": hosts})["engine_kwargs"]["allowed_media_domains"] == hosts


def test_text_only_loads_no_encoder() -> None:
    assert llm_config({"text_only": True})["engine_kwargs"]["language_model_only"] is True


@pytest.mark.parametrize("vllm", VLLMS)
def test_every_vllm_has_the_arguments(vllm: str) -> None:
    arguments = table(vllm).arguments
    assert set(Media(text_only=True).engine_kwargs) <= set(arguments)
    assert {name.partition(".")[0] for name in UNSAFE_ARGUMENTS} <= set(arguments)
    classes = table(vllm).classes
    for name in UNSAFE_ARGUMENTS:
        argument, _, key = name.partition(".")
        if key:
            owner = next(each["$ref"] for each in arguments[argument]["anyOf"] if "$ref" in each)
            assert key in classes[owner]["properties"]


@pytest.mark.parametrize("vllm", VLLMS)
def test_every_argument_that_names_a_class_or_a_plugin_needs_permission(vllm: str) -> None:
    named = {name for name in table(vllm).arguments if name.endswith(("_cls", "_plugin")) or name.startswith("trust_")}
    assert named <= UNSAFE_ARGUMENTS.keys()


def test_what_is_off_needs_no_permission() -> None:
    off = {"trust_remote_code": False, "worker_extension_cls": "", "logits_processors": None, "kv_transfer_config": {}}
    assert list(used(off)) == []
