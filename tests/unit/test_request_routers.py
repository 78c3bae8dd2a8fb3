"""Request routers and LoRA: Ray's and vLLM's own names and values, and what HAProxy's buffers may cost."""

import ast
import inspect
import math
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from config import request_routers, router_env
from config.lora import LoraSettings
from config.model_service import ModelService
from config.request_routers import PrefixCacheAffinityRouter, SessionRouter, router_config
from paths import CHECKOUT

FORWARD_BODY = "RAY_SERVE_INGRESS_REQUEST_ROUTER_FORWARD_BODY"
LORA = {"dynamic_lora_loading_path": "gs://bucket/adapters"}


def service(**settings: Any) -> ModelService:
    return ModelService.model_validate({"model": {"id": "m"}, **settings})


def installed(path: str) -> str:
    """Return a file of .venv-ray's packages; skip where they are not installed."""
    found = list(CHECKOUT.glob(f".venv-ray/lib/python3*/site-packages/{path}"))
    if not found:
        pytest.skip("Ray is not installed here; `make up` or the serving tier installs it")
    return Path(found[0]).read_text()


def method(source: str, name: str) -> ast.FunctionDef:
    return next(n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef) and n.name == name)


def fields(model: type[SessionRouter | PrefixCacheAffinityRouter]) -> dict[str, object]:
    return {n: f.default for n, f in model.model_fields.items() if n not in request_routers.NOT_AN_ARGUMENT}


def test_the_arguments_of_the_prefix_cache_router_are_ray_s() -> None:
    source = installed("ray/llm/_internal/serve/routing_policies/prefix_aware/prefix_aware_router.py")
    arguments = method(source, "initialize_state").args
    defaults = [eval(ast.unparse(d), {"float": float}) for d in arguments.defaults]
    ray = dict(zip([a.arg for a in arguments.args[1:]], defaults, strict=True))
    del ray["tree_actor"]  # of Ray's own tests
    assert ray.pop("imbalanced_threshold") == math.inf  # here null: YAML has no number for it
    assert ray.pop("do_eviction") is False  # here true: without it the tree grows without limit
    ours = fields(PrefixCacheAffinityRouter)
    assert ours.pop("imbalanced_threshold") is None
    assert ours.pop("do_eviction") is True
    assert ours == ray


def test_the_arguments_of_the_session_router_are_ray_s() -> None:
    source = installed("ray/serve/experimental/consistent_hash_router.py")
    constants = {
        node.targets[0].id: node.value.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    body = ast.unparse(method(source, "initialize_state"))
    read = re.findall(r"kwargs\.get\('(\w+)', (\w+)\)", body)
    assert fields(SessionRouter) == {name: constants[default] for name, default in read}


@pytest.mark.parametrize("path", request_routers.ROUTER_CLASSES.values())
def test_the_classes_are_ray_s(path: str) -> None:
    module, _, name = path.partition(":")
    assert re.search(rf"^class {name}\(", installed(module.replace(".", "/") + ".py"), re.MULTILINE)


def test_the_ranks_are_vllm_s() -> None:
    found = re.search(r"^MaxLoRARanks = Literal\[(.*)\]", installed("vllm/config/lora.py"), re.MULTILINE)
    assert found is not None
    ranks = get_args(LoraSettings.model_fields["max_lora_rank"].annotation)
    assert [int(rank) for rank in found.group(1).split(",")] == list(ranks)


@pytest.mark.parametrize("variable", ["FORWARD_BODY", "HAPROXY_INGRESS_REQUEST_ROUTER_BUFSIZE", "HAPROXY_MAXCONN"])
def test_ray_reads_the_variables(variable: str) -> None:
    constants = installed("ray/serve/_private/constants.py")
    written = router_env.env_vars(service(request_router="prefix_cache_affinity"), 64)
    (name,) = (name for name in written if name.endswith(variable))
    assert f'"{name}"' in constants


def test_a_text_is_the_router_with_its_defaults() -> None:
    assert service(request_router="session") == service(request_router={"kind": "session"})
    assert router_config(service().request_router) is None
    assert router_config(service(request_router="default").request_router) is None
    assert router_config(service(request_router="session").request_router) == {
        "request_router_class": "ray.serve.experimental.consistent_hash_router:ConsistentHashRouter",
    }


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        ({}, {"do_eviction": True}),
        ({"do_eviction": False}, {"do_eviction": False}),
        ({"imbalanced_threshold": 8}, {"do_eviction": True, "imbalanced_threshold": 8}),
        ({"match_rate_threshold": 0.5}, {"do_eviction": True, "match_rate_threshold": 0.5}),
    ],
)
def test_only_what_differs_from_ray_s_defaults_is_written(settings: dict[str, Any], written: dict[str, Any]) -> None:
    router = service(request_router={"kind": "prefix_cache_affinity", **settings}).request_router
    assert router_config(router) == {
        "request_router_class": "ray.serve.llm.request_router:PrefixCacheAffinityRouter",
        "request_router_kwargs": written,
    }


def test_the_session_header_is_known_to_every_process() -> None:
    assert router_env.env_vars(service(request_router={"kind": "session", "header": "X-User"}), 64) == {
        "RAY_SERVE_SESSION_ID_HEADER_KEY": "x-user"
    }


@pytest.mark.parametrize(
    ("settings", "forwards"),
    [
        ({}, False),
        ({"request_router": "session"}, False),
        ({"request_router": "prefix_cache_affinity"}, True),
        ({"model": {"id": "m", "lora": LORA}}, True),
        ({"model": {"id": "m", "lora": LORA}, "data_path": "python_proxy"}, False),
        ({"request_router": "prefix_cache_affinity", "data_path": "python_proxy"}, False),
    ],
)
def test_haproxy_copies_the_body_only_for_routers_that_need_it(settings: dict[str, Any], forwards: bool) -> None:
    assert (FORWARD_BODY in router_env.env_vars(service(**settings), 64)) is forwards


@pytest.mark.parametrize("memory_gib", [4, 10, 16, 40, 100, 180, 500, 1000, 1024, 3600])
def test_the_buffers_of_all_connections_stay_within_the_budget(memory_gib: int) -> None:
    buffer, connections = router_env.body_buffers(memory_gib)
    assert 2 * buffer * connections <= memory_gib * 2**30 * router_env.MEMORY_SHARE
    assert router_env.MIN_BUFFER_BYTES <= buffer <= router_env.MAX_BUFFER_BYTES
    assert router_env.MIN_CONNECTIONS <= connections <= router_env.MAX_CONNECTIONS


def test_a_large_node_has_ray_s_own_values() -> None:
    assert router_env.body_buffers(3600) == (8 * 2**20, 4096)


def test_adapters_in_memory_are_at_least_those_of_one_batch() -> None:
    few = LoraSettings(**LORA, max_num_adapters_per_replica=2, max_loras=4)  # pyright: ignore[reportArgumentType]
    assert few.engine_kwargs == {"enable_lora": True, "max_loras": 4, "max_lora_rank": 16, "max_cpu_loras": 4}


def test_every_router_says_what_it_is() -> None:
    assert all(inspect.getdoc(model) for model in request_routers.ROUTER_CLASSES)
