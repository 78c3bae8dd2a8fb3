"""Reach the model of a running stack: on loopback, through the gateway, or through `kubectl port-forward`."""

from __future__ import annotations

import contextlib
import re
import select
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from config.kuberay import SERVE_PORT, SERVE_SERVICE_SUFFIX
from config.model_service import PRIMARY_SERVICE_NAME
from verify import api_key, declared
from verify.declared import DeclaredLocal, DeclaredRayService

GATEWAY_TIMEOUT_S = 5
PORT_FORWARD_TIMEOUT_S = 30


class Unreachable(Exception):
    """Nothing answers. The message is one sentence with a remedy."""


@dataclass(frozen=True)
class ServedModel:
    """A model and the URL at which this computer reaches it."""

    endpoint: str
    """URL of the OpenAI API; it ends with /v1."""
    model: str
    way: str
    """How the requests get there, for the console."""


@contextlib.contextmanager
def reach(state: Path, stack: str) -> Iterator[ServedModel]:
    """Yield the primary model of the stack with this state (`pulumi stack export`). Raises Unreachable."""
    up = f"Run `make up{'' if stack == 'local' else f' STACK={stack}'}`."
    found = declared.read(state)
    if isinstance(found, DeclaredLocal):
        api_key.use_operator_key(found.outputs)
        endpoint = found.outputs["endpoint"]
        if (problem := _problem(endpoint)) is not None:
            raise Unreachable(f"Stack {stack} does not answer on {endpoint} ({problem}). {up}")
        yield ServedModel(endpoint, found.outputs["model"], endpoint)
        return
    services = [each for each in found if each.name == PRIMARY_SERVICE_NAME]
    if not services:
        raise Unreachable(f"No model of stack {stack} receives requests. {up}")
    gateway = f"{declared.outputs(state)['endpoint']}/v1"
    if (problem := _problem(gateway)) is None:
        yield ServedModel(gateway, services[0].model, f"the gateway {gateway}")
        return
    with _port_forward(services[0], f"The gateway {gateway} does not answer this computer ({problem})") as local:
        yield local


def _problem(endpoint: str) -> str | None:
    """Return None if the OpenAI API at `endpoint` answers, else what happens instead."""
    local = endpoint.startswith("http://127.0.0.1:")
    try:
        reply = httpx2.get(
            f"{endpoint}/models", headers=api_key.headers(), timeout=GATEWAY_TIMEOUT_S, trust_env=not local
        )
    except httpx2.HTTPError as error:
        return str(error) or type(error).__name__
    return None if reply.status_code == httpx2.codes.OK else f"status {reply.status_code}"


@contextlib.contextmanager
def _port_forward(service: DeclaredRayService, otherwise: str) -> Iterator[ServedModel]:
    """Forward a port of this computer to one pod of the service while the block runs. Raises Unreachable."""
    name = f"service/{service.name}{SERVE_SERVICE_SUFFIX}"
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        kubeconfig.write_text(service.kubeconfig)
        options = ["--kubeconfig", str(kubeconfig), "--namespace", service.namespace, "--address", "127.0.0.1"]
        try:
            # Its own session: Ctrl-C stops an answer, and not the connection.
            forward = subprocess.Popen(
                ["kubectl", "port-forward", *options, name, f":{SERVE_PORT}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise Unreachable(f"{otherwise}, and `kubectl`, which could forward a port, is not on PATH.") from None
        try:
            port = _forwarded_port(
                forward, f"{otherwise}, and `kubectl port-forward {name}` in {service.region} failed"
            )
            way = f"`kubectl port-forward {name}` in {service.region}"
            yield ServedModel(f"http://127.0.0.1:{port}/v1", service.model, way)
        finally:
            forward.kill()
            forward.wait()


def _forwarded_port(forward: subprocess.Popen[str], problem: str) -> int:
    """Return the port that kubectl chose: `Forwarding from 127.0.0.1:40123 -> 8000`. Raises Unreachable."""
    assert forward.stdout is not None
    assert forward.stderr is not None
    readable, _, _ = select.select([forward.stdout], [], [], PORT_FORWARD_TIMEOUT_S)
    line = forward.stdout.readline() if readable else ""
    if found := re.search(r"127\.0\.0\.1:(\d+) ->", line):
        return int(found.group(1))
    forward.kill()
    reason = forward.stderr.read().strip().splitlines()[-1:] or [f"no answer in {PORT_FORWARD_TIMEOUT_S} s"]
    raise Unreachable(f"{problem}: {reason[0]}")
