"""Which options do not work together, and how we know. Checked on plain data, before any resource exists.

A row is a `Rule` (what a person reads) and a predicate (when it applies). `ray` is the version that will run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from schema import Rule
from workloads.data_path import TERMS
from workloads.settings import RequestRouter, Service


@dataclass(frozen=True)
class Row:
    rule: Rule
    applies: Callable[[Service], bool]


def _direct(serving: Service) -> bool:
    return TERMS[serving.data_path].direct


ROWS: tuple[Row, ...] = (
    Row(
        Rule(
            "compatibility.direct-lora",
            wrong="serving.model.lora is set on data path {data_path}",
            why="the direct path ignores the adapter a request names unless every request body passes through the "
            "router, and then each costs a second copy of its body",
            instead="write data_path: python_proxy, or merge the adapter into the weights",
            source="ray-project/ray#65976",
        ),
        lambda s: _direct(s) and s.model.lora is not None,
    ),
    Row(
        Rule(
            "compatibility.direct-ingress",
            wrong="serving.ingress is set on data path {data_path}",
            why="there the replica is its own ingress and Ray refuses options for another one",
            instead="take `ingress` out, or write data_path: python_proxy",
            source="ray/llm/_internal/serve/core/ingress/builder.py",
        ),
        lambda s: _direct(s) and s.ingress is not None,
    ),
    Row(
        Rule(
            "compatibility.direct-prefix-cache",
            wrong="request_router prefix_cache_affinity is set on data path {data_path}",
            why="the application turns healthy and then requests hang, because the router never sees the prompt",
            instead="write request_router: default, or data_path: python_proxy",
            source="ray-project/ray#64326",
        ),
        lambda s: _direct(s) and s.request_router is RequestRouter.PREFIX_CACHE_AFFINITY,
    ),
)


def refusals(serving: Service) -> Iterator[tuple[str, str]]:
    """(rule id, sentence) of every row that `serving` runs into."""
    for row in ROWS:
        if row.applies(serving):
            yield row.rule.id, row.rule.sentence(data_path=serving.data_path.value)
