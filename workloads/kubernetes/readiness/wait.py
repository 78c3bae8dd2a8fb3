"""The loop that every wait shares, and the states it tells apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workloads.dynamic_provider import OperationFailed, Progress, log_progress
from workloads.kubernetes.kube_api import Object, Unreachable

POLL_INTERVAL_S = 2.0
"""How often a wait looks; KubeRay itself looks every two seconds."""


@dataclass(frozen=True)
class Succeeded:
    """What was waited for is there."""

    text: str
    outputs: Mapping[str, Any]


@dataclass(frozen=True)
class InProgress:
    """Not yet."""

    text: str
    remedy: str = ""
    """What to do when it takes too long."""


@dataclass(frozen=True)
class Failed:
    """It will not come by itself, if it still looks like this after `after_s`."""

    text: str
    message: str
    """What is wrong, why, and what to do."""
    after_s: float = 0


State = Succeeded | InProgress | Failed


def wait_for(
    what: str, limit_s: float, look: Callable[[], State], *, steady_s: float = 0, every_s: float | None = None
) -> Succeeded | InProgress:
    """Look until it has been Done for `steady_s`; what it is like at the limit otherwise. Raises Failure when it has
    been Failed for as long as that says."""
    wait = Progress(what, limit_s, POLL_INTERVAL_S if every_s is None else every_s)
    held: type[State] | None = None
    since = 0.0
    while True:
        state = _looked(look)
        if type(state) is not held:
            held, since = type(state), wait.seconds
        lasted = wait.seconds - since
        if isinstance(state, Succeeded) and lasted >= steady_s:
            log_progress(f"{what}: {state.text} ({wait.seconds:.0f} s)")
            return state
        if isinstance(state, Failed) and lasted >= state.after_s:
            raise OperationFailed(state.message)
        if not wait.pause(state.text):
            if isinstance(state, Failed):
                raise OperationFailed(state.message)
            return InProgress(state.text, "" if isinstance(state, Succeeded) else state.remedy)


class WarningEvents:
    """Warning events, each shown once."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown: set[tuple[str, str, str]] = set()

    def show(self, events: Iterable[Object]) -> None:
        for event in events:
            about = event["involvedObject"]
            key = (about["name"], event.get("reason", ""), event.get("message", ""))
            if key not in self._shown:
                self._shown.add(key)
                log_progress(f"{self._what}: {about['kind']} {key[0]}: {key[1]}: {' '.join(key[2].split())}")


def _looked(look: Callable[[], State]) -> State:
    try:
        return look()
    except Unreachable as error:
        return InProgress(f"the API server does not answer ({error})", "See whether the cluster is up, and reachable.")
