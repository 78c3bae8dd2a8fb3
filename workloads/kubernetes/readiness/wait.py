"""The base of all waits: their dynamic provider, the states that they tell apart, and the loop that polls a cluster.

A wait is a dynamic resource. It creates nothing in the cluster: `up` uses it to start a step only after the step before
it has finished, and a preview shows it. It polls the API server, prints its progress, prints the operators' Warning
events as they arrive, and ends with one message if it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, ResourceProvider, UpdateResult

from workloads.dynamic_provider import OperationFailed, Progress, log_progress
from workloads.kubernetes.kube_api import KubeApi, Object, Unreachable, connect

POLL_INTERVAL_S = 2.0
"""Seconds between two observations. KubeRay itself reconciles every two seconds."""
READY = "Ready"
"""Status of a wait for readiness that has succeeded."""
DECLARED = "declared"
"""Status of a wait for readiness with `wait: false`."""
RESUME_HINT = "Run `pulumi up` again to continue waiting."

Props = dict[str, Any]
"""Properties of a dynamic resource, as Pulumi keeps them in the state."""


@dataclass(frozen=True)
class Succeeded:
    """The awaited state is reached."""

    text: str
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InProgress:
    """The awaited state is not reached yet."""

    text: str
    remedy: str = ""
    """What to do if it takes too long."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """What was observed, as data: decide by this and never by `text`."""


@dataclass(frozen=True)
class Failed:
    """The awaited state cannot be reached without a change, if this state lasts for `grace_s`."""

    text: str
    message: str
    """What is wrong, why, and what to do."""
    grace_s: float = 0


State = Succeeded | InProgress | Failed


class WaitProvider(ResourceProvider):
    """Base of the dynamic providers that wait for a state of the cluster.

    Creating or updating such a resource waits; a refresh observes once; deleting it does nothing. A subclass says which
    properties identify the awaited object, how to wait, and how to observe.

    Pulumi stores a provider in the state as the module path and name of its class. Do not move or rename a subclass:
    every existing state would become unreadable (tests/unit/test_frozen_names.py).
    """

    replace_keys: ClassVar[tuple[str, ...]] = ()
    """Properties whose change replaces the resource: they identify the awaited object."""
    update_keys: ClassVar[tuple[str, ...]] = ()
    """Properties whose change waits again."""

    def resource_id(self, props: Props) -> str:
        """Return the resource's id."""
        raise NotImplementedError

    def run(self, props: Props) -> Props:
        """Wait, then return the outputs. Raises OperationFailed."""
        raise NotImplementedError

    def observe(self, api: KubeApi, props: Props) -> Props | None:
        """Return the outputs as the cluster has them now, or None if the awaited object does not exist.

        Raises Unreachable if the API server does not answer.
        """
        raise NotImplementedError

    def final_status(self, props: Props) -> str | None:
        """Return the `status` of a finished wait. With any other status the next `up` waits again; None: never."""
        return None

    def unreachable(self, props: Props, error: Unreachable) -> Props:
        """Return the outputs for a refresh while the API server does not answer: the old ones."""
        return props

    def create(self, props: Props) -> CreateResult:
        """Wait for the first time."""
        return CreateResult(self.resource_id(props), self.run(props))

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        """Wait again."""
        return UpdateResult(self.run(news))

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        """Compare the named properties; also wait again if the last wait or refresh left another status."""
        replaces = [key for key in self.replace_keys if olds.get(key) != news.get(key)]
        updated = any(olds.get(key) != news.get(key) for key in self.update_keys)
        final = self.final_status(news)
        unfinished = final is not None and olds.get("status") != final
        return DiffResult(
            changes=bool(replaces) or updated or unfinished,
            replaces=replaces,
            delete_before_replace=bool(self.replace_keys),
        )

    def read(self, id_: str, props: Props) -> ReadResult:
        """Observe once. An empty id tells Pulumi that the awaited object is gone."""
        with connect(props["kubeconfig"]) as api:
            try:
                observed = self.observe(api, props)
            except Unreachable as error:
                return ReadResult(id_, self.unreachable(props, error))
        return ReadResult("", props) if observed is None else ReadResult(id_, observed)


def wait_for(
    subject: str,
    limit_s: float,
    observe: Callable[[], State],
    *,
    stable_for_s: float = 0,
    poll_interval_s: float | None = None,
) -> Succeeded | InProgress:
    """Poll `observe` until it has returned Succeeded for `stable_for_s` seconds, and return that state.

    Returns the last state as InProgress when `limit_s` seconds have passed. Raises OperationFailed if `observe` has
    returned Failed for the state's `grace_s`, or returns it at the limit. `subject` begins every line of progress.
    """
    progress = Progress(subject, limit_s, POLL_INTERVAL_S if poll_interval_s is None else poll_interval_s)
    kind: type[State] | None = None
    since_s = 0.0
    while True:
        state = _observe(observe)
        if type(state) is not kind:
            kind, since_s = type(state), progress.seconds
        lasted_s = progress.seconds - since_s
        if isinstance(state, Succeeded) and lasted_s >= stable_for_s:
            log_progress(f"{subject}: {state.text} ({progress.seconds:.0f} s)")
            return state
        if isinstance(state, Failed) and lasted_s >= state.grace_s:
            raise OperationFailed(state.message)
        if not progress.pause(state.text):
            if isinstance(state, Failed):
                raise OperationFailed(state.message)
            return state if isinstance(state, InProgress) else InProgress(state.text, outputs=state.outputs)


class WarningEvents:
    """Prints Warning events, each once."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._printed: set[tuple[str, str, str]] = set()

    def show(self, events: Iterable[Object]) -> None:
        """Print the events that were not printed before."""
        for event in events:
            involved = event["involvedObject"]
            name, reason, message = key = (involved["name"], event.get("reason", ""), event.get("message", ""))
            if key not in self._printed:
                self._printed.add(key)
                about = f"{involved['kind']} {name}"
                prefix = about if about == self._subject else f"{self._subject}: {about}"
                log_progress(f"{prefix}: {reason}: {' '.join(message.split())}")


def _observe(observe: Callable[[], State]) -> State:
    try:
        return observe()
    except Unreachable as error:
        return InProgress(
            f"the API server does not answer ({error})", "Check that the cluster runs and that this host can reach it."
        )
