"""Add, list and revoke API keys of a stack (`make keys`).

    python -m tools.keys STATE STACK [--add NAME] [--revoke NAME]

`STATE` is a file in the form of `pulumi stack export`. A key is printed once, when it is made. Stack local keeps the
hashes in a file, a cluster in a Secret of each region, which `kubectl` writes. Runs in .venv.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from config.api_keys import MAP_FILE
from tools.bootstrap import console
from tools.bootstrap.console import CliError, say
from verify import declared
from verify.declared import DeclaredLocal, DeclaredRayService
from workloads.edge import key_map
from workloads.kubernetes import api_keys as pods
from workloads.local import api_keys

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
SETTING = "Write `serving.api_keys: {}` and run `make up`"


class KeyStore(Protocol):
    """Where the hashes of the keys are. SHA-256 of a key -> its name."""

    label: str

    def read(self) -> dict[str, str]: ...

    def write(self, keys: Mapping[str, str]) -> None: ...


class LocalKeys:
    """The file of stack local, and the HAProxy that runs with it."""

    def __init__(self, stack: DeclaredLocal, file: Path) -> None:
        self.label = str(file)
        self._file = file
        self._sockets = Path(stack.env_vars["RAY_SERVE_HAPROXY_SOCKET_PATH"])

    def read(self) -> dict[str, str]:
        """Return the keys of the file."""
        return key_map.read(self._file)

    def write(self, keys: Mapping[str, str]) -> None:
        """Replace the file, and change the running HAProxy without a lost connection."""
        before = self.read()
        key_map.write(self._file, dict(keys))
        for digest in before.keys() - keys.keys():
            self._admin(f"del map {self._file} {digest}")
        for digest in keys.keys() - before.keys():
            self._admin(f"add map {self._file} {digest} {keys[digest]}")

    def _admin(self, command: str) -> None:
        """Send a command to every HAProxy of the stack. Serve's Python proxy reads the file itself."""
        for path in self._sockets.parent.glob(f"*/{self._sockets.name}"):
            with socket.socket(socket.AF_UNIX) as admin:
                admin.settimeout(5)
                try:
                    admin.connect(str(path))
                except OSError:
                    continue  # a HAProxy that has ended
                admin.sendall(f"{command}\n".encode())
                if reply := b"".join(iter(lambda: admin.recv(65536), b"")).decode().strip():
                    raise CliError(
                        f"HAProxy answers `{reply}`. Run `make down`, then `make up`: it reads the file then."
                    )


class ClusterKeys:
    """The Secret of one region. Its pods have a change within about a minute."""

    def __init__(self, service: DeclaredRayService, secret: str, folder: Path) -> None:
        self.label = f"Secret {secret} in {service.region}"
        self._secret = secret
        self._namespace = service.namespace
        self._kubeconfig = folder / f"{service.region}.kubeconfig"
        self._kubeconfig.write_text(service.kubeconfig)

    def read(self) -> dict[str, str]:
        """Return the keys of the Secret; none without one."""
        found = self._kubectl("get", "secret", self._secret, "--ignore-not-found", "--output", "json")
        data = json.loads(found).get("data", {}) if found.strip() else {}
        return key_map.parse(_decoded(data.get(MAP_FILE, "")))

    def write(self, keys: Mapping[str, str]) -> None:
        """Create or replace the Secret."""
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self._secret},
            "stringData": {MAP_FILE: key_map.text(dict(keys))},
        }
        self._kubectl("apply", "--filename", "-", text=json.dumps(manifest))

    def _kubectl(self, *arguments: str, text: str = "") -> str:
        options = ["--kubeconfig", str(self._kubeconfig), "--namespace", self._namespace]
        try:
            done = subprocess.run(["kubectl", *options, *arguments], input=text, capture_output=True, text=True)
        except FileNotFoundError:
            raise CliError(
                "`make keys` writes Secrets with `kubectl`, which is not on PATH. Install kubectl."
            ) from None
        if done.returncode:
            raise CliError(f"kubectl failed for {self.label}: {done.stderr.strip()}")
        return done.stdout


def stores(state: Path, stack: str, folder: Path) -> list[KeyStore]:
    """Return where the stack's keys are. Raises CliError if callers of the stack need none."""
    found = declared.read(state)
    if isinstance(found, DeclaredLocal):
        if not (file := found.outputs.get("api_keys")):
            raise CliError(f"Callers of stack {stack} need no API key. {SETTING}.")
        return [LocalKeys(found, Path(file))]
    result: dict[tuple[str, str], KeyStore] = {}
    for service in found:
        group = service.ray_cluster_config["workerGroupSpecs"][0]
        for volume in group["template"]["spec"].get("volumes", []):
            if volume["name"] == pods.VOLUME:
                secret = volume["secret"]["secretName"]
                result[service.region, secret] = ClusterKeys(service, secret, folder)
    if not result:
        raise CliError(f"Callers of stack {stack} need no API key. {SETTING} STACK={stack}`.")
    return list(result.values())


def add(found: list[KeyStore], name: str) -> str:
    """Add a key with a name and return it. Raises CliError if the name is taken or has another form."""
    if not NAME.fullmatch(name):
        raise CliError(f"{name} is no name of a key. Write up to 64 letters, digits, dots, hyphens and underscores.")
    taken = [store.label for store in found if name in store.read().values()]
    if taken:
        raise CliError(
            f"{taken[0]} has a key {name}. Write another name, or revoke that key: `make keys REVOKE={name}`."
        )
    key = api_keys.new_key()
    for store in found:
        store.write(store.read() | {api_keys.digest(key): name})
    return key


def revoke(found: list[KeyStore], name: str) -> None:
    """Remove every key with a name. Raises CliError if there is none, or if `make up` needs it."""
    if name == api_keys.OPERATOR:
        raise CliError(f"{name} is the key that `make up`, `make verify` and `make chat` send. Revoke another one.")
    known = sorted({each for store in found for each in store.read().values()})
    if name not in known:
        raise CliError(f"No key has the name {name}. The keys are: {', '.join(known) or 'none'}.")
    for store in found:
        store.write({digest: each for digest, each in store.read().items() if each != name})


def main() -> int:
    """Change or list the keys. Return 0."""
    parser = argparse.ArgumentParser()
    parser.add_argument("state", type=Path)
    parser.add_argument("stack")
    parser.add_argument("--add", default="")
    parser.add_argument("--revoke", default="")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = stores(arguments.state, arguments.stack, Path(folder))
        if arguments.revoke:
            revoke(found, arguments.revoke)
            say(f"Revoked {arguments.revoke}.")
        if arguments.add:
            key = add(found, arguments.add)
            print(f"The key of {arguments.add}, which is not shown again:", file=sys.stderr)
            print(key)
        if not arguments.add and not arguments.revoke:
            for store in found:
                say(f"{store.label}:")
                for digest, name in sorted(store.read().items(), key=lambda pair: pair[1]):
                    say(f"  {name:<24}sha256 {digest[:12]}...")
    return 0


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")


if __name__ == "__main__":
    console.main(main)
