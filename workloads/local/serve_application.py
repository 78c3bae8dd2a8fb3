"""The Serve applications of the local host, as a dynamic resource over Ray's REST API.

Creates the applications of one Serve configuration and waits until they run. An edit of the configuration is applied in
place: Ray Serve decides which replicas it replaces. A restart of the head replaces the resource. A refresh notices an
application that is gone. Deleting the resource shuts Serve down and waits for its replicas.
Source: ray/serve/schema.py, and `serve deploy`, which sends the same PUT.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from workloads.dynamic_provider import OperationFailed, Progress, log_progress
from workloads.local import ray_api

APPLICATIONS = "/api/serve/applications/"
DEPLOY_LIMIT_S = 600
DELETE_LIMIT_S = 60
ERROR_WORDS = ("Error", "error", "Exception", "CRITICAL", "failed")
"""Words of the log lines that a failure message quotes."""


class ServeApplicationProvider(ResourceProvider):
    """Deploys the applications and shuts Serve down."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Deploy. Raises OperationFailed."""
        _deploy(props)
        return CreateResult(f"serve@{props['session']}", {**props, "status": "RUNNING"})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Replace after a restart of the head; update after an edit, or if an application does not run."""
        replaced = [key for key in ("dashboard", "session") if olds.get(key) != news.get(key)]
        changed = olds.get("config") != news.get("config") or olds.get("status") != "RUNNING"
        return DiffResult(changes=bool(replaced) or changed, replaces=replaced, delete_before_replace=True)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Deploy again. Raises OperationFailed."""
        _deploy(news)
        return UpdateResult({**news, "status": "RUNNING"})

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return the first status that is not RUNNING, or an empty id if an application is gone."""
        statuses = _application_statuses(props)
        declared = [application["name"] for application in json.loads(props["config"])["applications"]]
        if any(name not in statuses for name in declared):
            return ReadResult("", props)
        status = next((statuses[n]["status"] for n in declared if statuses[n]["status"] != "RUNNING"), "RUNNING")
        return ReadResult(id_, {**props, "status": status})

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Shut Serve down, and wait for at most DELETE_LIMIT_S."""
        try:
            with _ray(props, timeout_s=DELETE_LIMIT_S) as ray:
                ray.delete(APPLICATIONS)
        except httpx2.HTTPError:
            return  # the head has ended, and its applications with it
        progress = Progress("Serve", DELETE_LIMIT_S)
        while _application_statuses(props):
            if not progress.pause("shutting down"):
                return  # the remaining processes end with the head


class ServeApplication(Resource, module="rayllm", name="ServeApplication"):
    """The applications of a Serve configuration; see the module.

    `config`: a ServeDeploySchema document. The state keeps it as JSON text, so that integers stay integers.
    """

    status: pulumi.Output[str]
    """Ray's application status: `RUNNING`; after a refresh the first one that differs."""

    def __init__(
        self,
        name: str,
        *,
        config: dict[str, Any],
        dashboard: pulumi.Input[str],
        session: pulumi.Input[str],
        data_dir: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            ServeApplicationProvider(),
            name,
            {
                "config": json.dumps(config, indent=1, sort_keys=True),
                "dashboard": dashboard,
                "session": session,
                "data_dir": data_dir,
                "status": None,
            },
            opts,
        )


def _deploy(props: dict[str, Any]) -> None:
    config, data_dir = json.loads(props["config"]), Path(props["data_dir"])
    try:
        with _ray(props, timeout_s=60) as ray:
            reply = ray.put(APPLICATIONS, json=config)
    except httpx2.HTTPError as error:
        raise OperationFailed(
            f"Ray's REST API at {props['dashboard']} does not answer ({error}). Run `make up` again."
        ) from None
    if reply.status_code != 200:
        raise OperationFailed(f"Ray rejects the Serve configuration: {_last_lines(reply.text.splitlines(), 6)}")
    progress = Progress("Serve", DEPLOY_LIMIT_S)
    while True:
        statuses = _application_statuses(props)
        declared = [statuses.get(application["name"], {}) for application in config["applications"]]
        if all(status.get("status") == "RUNNING" for status in declared):
            log_progress(f"Serve: RUNNING ({progress.seconds:.0f} s)")
            return
        failed = [status for status in declared if status.get("status") == "DEPLOY_FAILED"]
        if failed:
            raise OperationFailed(_failure_message(failed, data_dir, "failed to deploy"))
        if not progress.pause(_describe(declared)):
            raise OperationFailed(_failure_message(declared, data_dir, f"does not run after {DEPLOY_LIMIT_S} s"))


def _ray(props: dict[str, Any], timeout_s: float) -> httpx2.Client:
    return ray_api.client(props["dashboard"], Path(props["data_dir"]), timeout_s)


def _application_statuses(props: dict[str, Any]) -> dict[str, Any]:
    """Return application -> Ray's status; empty if Ray does not answer."""
    try:
        with _ray(props, timeout_s=30) as ray:
            return ray.get(APPLICATIONS).json()["applications"]
    except (httpx2.HTTPError, ValueError, KeyError):
        return {}


def _describe(statuses: Sequence[dict[str, Any]]) -> str:
    """Return one entry for each replica: `LLMServer:tiny STARTING, LLMRouter RUNNING`."""
    replicas = [
        f"{name} {replica['state']}"
        for status in statuses
        for name, deployment in status.get("deployments", {}).items()
        for replica in deployment["replicas"]
    ]
    return ", ".join(replicas) or "building the application"


def _failure_message(statuses: Sequence[dict[str, Any]], data_dir: Path, problem: str) -> str:
    messages = [message for status in statuses for message in _messages(status) if message]
    serve_says = "\n".join(_last_lines(message.splitlines(), 8) for message in messages[:2])
    logs = data_dir / "ray" / "session_latest" / "logs"
    newest = sorted(logs.glob("worker-*.err"), key=lambda file: file.stat().st_mtime)[-12:]
    errors = list(dict.fromkeys(line for log in newest for line in _error_lines(log)))
    return "\n".join(
        [f"The Serve application {problem}. Messages of Serve:", serve_says or "(no message)"]
        + (["Errors in the workers' logs:", _last_lines(errors, 6)] if errors else [])
        + [f"All logs: {logs}"]
    )


def _messages(status: dict[str, Any]) -> Iterator[str]:
    yield status.get("message", "")
    for deployment in status.get("deployments", {}).values():
        yield deployment.get("message", "")


def _error_lines(log: Path) -> list[str]:
    lines = log.read_text(errors="replace").splitlines()[-400:]
    return [
        line.strip()[:240] for line in lines if any(word in line for word in ERROR_WORDS) and "Traceback" not in line
    ]


def _last_lines(lines: Sequence[str], count: int) -> str:
    """Return the last `count` lines; if there are no more, at most 1500 characters without the blank lines."""
    if len(lines) > count:
        return "\n".join(lines[-count:])
    return "\n".join(line for line in lines if line.strip())[-1500:]
