"""Compare a declared Kubernetes spec with the one in the cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MERGE_KEYS = ("groupName", "name", "key")
"""Fields that identify an item of a list: worker groups, containers and variables, tolerations."""


def first_difference(declared: Any, actual: Any, path: str = "") -> str | None:
    """Return the first declared value that the cluster does not have, as `PATH: ACTUAL, not DECLARED`, or None.

    Fields that are not declared do not count: defaulting and admission add them. A declared empty value equals a
    missing one: the operator writes its objects back, and Go's `omitempty` leaves out what is empty.
    """
    if isinstance(declared, Mapping) and isinstance(actual, Mapping):
        pairs = ((value, actual.get(key), f"{path}.{key}".lstrip(".")) for key, value in declared.items())
    elif isinstance(declared, list) and isinstance(actual, list):
        pairs = _pair_items(declared, actual, path)
    else:
        same = declared == actual or (not declared and actual is None)
        return None if same else f"{path}: {actual}, not {declared}"
    return next((text for text in (first_difference(*pair) for pair in pairs) if text), None)


def _pair_items(declared: Sequence[Any], actual: Sequence[Any], path: str) -> Iterator[tuple[Any, Any, str]]:
    """Pair each declared item with the actual item of the same MERGE_KEYS field, or else of the same index."""
    for index, item in enumerate(declared):
        key = next((key for key in MERGE_KEYS if isinstance(item, Mapping) and key in item), None)
        if key is None:
            yield item, actual[index] if index < len(actual) else None, f"{path}[{index}]"
        else:
            same = (one for one in actual if isinstance(one, Mapping) and one.get(key) == item[key])
            yield item, next(same, None), f"{path}[{item[key]}]"
