"""The Serve application on this computer, as a dynamic resource over Ray's REST API.

Makes: the applications of one Serve configuration, and waits until they run. Updates in place when the configuration
changes (Serve itself decides which replicas that touches). Replaces when the head was restarted. Refresh notices an
application that is gone; delete shuts Serve down and waits for its replicas. Source: ray/serve/schema.py, and
`serve deploy`, which sends the same PUT.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from workloads.dynamic_provider import OperationFailed, Progress, log_progress

APPLICATIONS = "/api/serve/applications/"
DEPLOY_LIMIT_S = 600
DELETE_LIMIT_S = 60
DEPLOYMENT_LOG_LINES = ("Error", "error", "Exception", "CRITICAL", "failed")


class ServeApplicationProvider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        _deploy(props)
        return CreateResult(f"serve@{props['session']}", {**props, "status": "RUNNING"})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        replaced = [key for key in ("dashboard", "session") if olds.get(key) != news.get(key)]
        changed = olds.get("config") != news.get("config") or olds.get("status") != "RUNNING"
        return DiffResult(changes=bool(replaced) or changed, replaces=replaced, delete_before_replace=True)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        _deploy(news)
        return UpdateResult({**news, "status": "RUNNING"})

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        states = _states(props["dashboard"])
        wanted = [application["name"] for application in json.loads(props["config"])["applications"]]
        if any(name not in states for name in wanted):
            return ReadResult("", props)
        worst = next((states[n]["status"] for n in wanted if states[n]["status"] != "RUNNING"), "RUNNING")
        return ReadResult(id_, {**props, "status": worst})

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        try:
            httpx2.delete(props["dashboard"] + APPLICATIONS, timeout=DELETE_LIMIT_S, trust_env=False)
        except httpx2.HTTPError:
            return  # the head is gone, and its applications with it
        wait = Progress("Serve", DELETE_LIMIT_S)
        while _states(props["dashboard"]):
            if not wait.pause("shutting down"):
                return  # whatever is left ends with the head


class ServeApplication(Resource, module="rayllm", name="ServeApplication"):
    """See the module. `config` is a ServeDeploySchema document, kept as JSON so that whole numbers stay whole."""

    status: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        config: dict[str, Any],
        dashboard: pulumi.Input[str],
        session: pulumi.Input[str],
        folder: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            ServeApplicationProvider(),
            name,
            {
                "config": json.dumps(config, indent=1, sort_keys=True),
                "dashboard": dashboard,
                "session": session,
                "folder": folder,
                "status": None,
            },
            opts,
        )


def _deploy(props: dict[str, Any]) -> None:
    config = json.loads(props["config"])
    try:
        reply = httpx2.put(props["dashboard"] + APPLICATIONS, json=config, timeout=60, trust_env=False)
    except httpx2.HTTPError as error:
        raise OperationFailed(
            f"Ray's REST API at {props['dashboard']} does not answer ({error}): run `make up` again."
        ) from None
    if reply.status_code != 200:
        raise OperationFailed(f"Ray refused the Serve configuration: {_last(reply.text.splitlines(), 6)}")
    wait = Progress("Serve", DEPLOY_LIMIT_S)
    while True:
        states = _states(props["dashboard"])
        ours = [states.get(application["name"], {}) for application in config["applications"]]
        if all(state.get("status") == "RUNNING" for state in ours):
            log_progress(f"Serve: RUNNING ({wait.seconds:.0f} s)")
            return
        failed = [state for state in ours if state.get("status") == "DEPLOY_FAILED"]
        if failed:
            raise OperationFailed(_why(failed, Path(props["folder"]), "could not be deployed"))
        if not wait.pause(_describe(ours)):
            raise OperationFailed(_why(ours, Path(props["folder"]), f"was not running after {DEPLOY_LIMIT_S} s"))


def _states(dashboard: str) -> dict[str, Any]:
    """Application name -> its state in Ray's words; empty when nothing answers."""
    try:
        return httpx2.get(dashboard + APPLICATIONS, timeout=30, trust_env=False).json()["applications"]
    except (httpx2.HTTPError, ValueError, KeyError):
        return {}


def _describe(states: list[dict[str, Any]]) -> str:
    """`LLMServer:tiny STARTING, LLMRouter RUNNING`: one entry a replica."""
    words = [
        f"{name} {replica['state']}"
        for state in states
        for name, deployment in state.get("deployments", {}).items()
        for replica in deployment["replicas"]
    ]
    return ", ".join(words) or "building the application"


def _why(states: list[dict[str, Any]], folder: Path, what: str) -> str:
    messages = [m for state in states for m in _messages(state) if m]
    said = "\n".join(_last(message.splitlines(), 8) for message in messages[:2])
    logs = sorted((folder / "ray" / "session_latest" / "logs").glob("worker-*.err"), key=lambda f: f.stat().st_mtime)
    told = [line for log in logs[-12:] for line in _telling(log)]
    return "\n".join(
        [f"The Serve application {what}. Serve says:", said or "(nothing)"]
        + (["The workers' logs say:", _last(list(dict.fromkeys(told)), 6)] if told else [])
        + [f"All logs: {folder}/ray/session_latest/logs"]
    )


def _messages(state: dict[str, Any]) -> Iterator[str]:
    yield state.get("message", "")
    for deployment in state.get("deployments", {}).values():
        yield deployment.get("message", "")


def _telling(log: Path) -> list[str]:
    lines = log.read_text(errors="replace").splitlines()[-400:]
    return [
        line.strip()[:240]
        for line in lines
        if any(word in line for word in DEPLOYMENT_LOG_LINES) and "Traceback" not in line
    ]


def _last(lines: list[str], count: int) -> str:
    return (
        "\n".join(line for line in lines if line.strip())[-1500:] if len(lines) <= count else "\n".join(lines[-count:])
    )
