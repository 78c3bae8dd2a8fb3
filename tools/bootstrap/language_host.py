"""A small Python language host for Pulumi's engine, for a CLI built from Go modules (tools/bootstrap/pulumi_cli.py).

It is this project's own, not Pulumi's. Every official installation has the official host, and the tools use that one if
it is there. This host implements the same protocol (pulumirpc.LanguageRuntime, stubs from the `pulumi` package) and
starts programs with Pulumi's own `pulumi-language-python-exec`. It finds the interpreter by the `virtualenv` option of
the project or of the policy pack, and installs nothing.

The engine starts the host with the engine's address as the last argument, and reads the port that the host prints.
The host runs in .venv: it is the one module of tools/bootstrap that needs installed packages (grpc, pulumi).
"""
# ruff: noqa: E402

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format

SDK = find_spec("pulumi")
assert SDK is not None
assert SDK.origin is not None
for name in ("pulumi", "pulumi.runtime"):  # load the stubs without the SDK: starting takes half the CPU seconds
    sys.modules[name] = ModuleType(name)
    sys.modules[name].__path__ = [str(Path(SDK.origin).parents[1].joinpath(*name.split(".")))]

from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

ALREADY_SHOWN = 32
"""Exit status of the exec script if it has already shown the error to the user."""
MESSAGE_LIMIT = ("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20)
PLUGINS = """
import json, pathlib, sys
found = {f for p in map(pathlib.Path, sys.path) if p.is_dir() for f in p.glob("*/pulumi-plugin.json")}
print(json.dumps([json.loads(f.read_text()) for f in sorted(found)]))
"""
PACKAGES = """
import importlib.metadata, json
print(json.dumps(sorted({(d.metadata["Name"], d.version) for d in importlib.metadata.distributions()})))
"""
VERSION = "import json, sys; print(json.dumps(sys.version.split()[0]))"
"""Programs that a project's interpreter runs; each prints JSON."""


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The service pulumirpc.LanguageRuntime; the engine calls its methods."""

    def __init__(self, engine: str) -> None:
        self._engine = engine

    def Handshake(self, request: Any, context: Any) -> Any:
        """Take the engine's address."""
        self._engine = request.engine_address or self._engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        """Return a version; the engine asks every plugin for one."""
        return plugin_pb2.PluginInfo(version="0.0.1")

    def About(self, request: Any, context: Any) -> Any:
        """Return the interpreter and its version, for `pulumi about`."""
        python = _interpreter(request.info, context)
        return language_pb2.AboutResponse(
            executable=python, version=_query(python, VERSION, context), metadata={"host": "rayllm's own"}
        )

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:
        """Return the resource plugins that the installed SDKs name in pulumi-plugin.json."""
        plugins = _query(_interpreter(request.info, context), PLUGINS, context)
        return language_pb2.GetRequiredPackagesResponse(
            packages=[
                plugin_pb2.PackageDependency(
                    name=p["name"], kind="resource", version=p.get("version", ""), server=p.get("server", "")
                )
                for p in plugins
                if p.get("resource") and p.get("name")
            ]
        )

    def GetRequiredPlugins(self, request: Any, context: Any) -> Any:
        """Return the same plugins in the protocol's older form."""
        packages = self.GetRequiredPackages(request, context).packages
        return language_pb2.GetRequiredPluginsResponse(
            plugins=[
                plugin_pb2.PluginDependency(name=p.name, kind=p.kind, version=p.version, server=p.server)
                for p in packages
            ]
        )

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:
        """Return name and version of every installed Python package."""
        packages = _query(_interpreter(request.info, context), PACKAGES, context)
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[language_pb2.DependencyInfo(name=name, version=version) for name, version in packages]
        )

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:
        """Return no prompts: `pulumi new` is not used here."""
        return language_pb2.RuntimeOptionsResponse()

    def InstallDependencies(self, request: Any, context: Any) -> Iterator[Any]:
        """Install nothing; say that `make` does."""
        yield language_pb2.InstallDependenciesResponse(stdout=b"`make` installs what this project needs from locks/.\n")

    def Cancel(self, request: Any, context: Any) -> Any:
        """Do nothing: the engine also sends SIGINT."""
        return empty_pb2.Empty()

    def Run(self, request: Any, context: Any) -> Any:
        """Run the Pulumi program and wait for its end."""
        info = request.info
        python = _interpreter(info, context)
        script = shutil.which("pulumi-language-python-exec")
        if script is None:
            return language_pb2.RunResponse(error="pulumi-language-python-exec is not on PATH: run `make env`.")
        options = {
            "monitor": request.monitor_address,
            "engine": self._engine,
            "project": request.project,
            "root_directory": info.root_directory,
            "stack": request.stack,
            "pwd": request.pwd or info.program_directory,
            "dry_run": "true" if request.dryRun else "false",
            "parallel": str(request.parallel),
            "tracing": "",
            "organization": request.organization,
        }
        program = os.path.normpath(Path(info.program_directory) / info.entry_point)
        flags = [word for name, value in options.items() for word in (f"--{name}", value)]
        env = _env_vars(python)
        env["PULUMI_CONFIG"] = json.dumps(dict(request.config))
        env["PULUMI_CONFIG_SECRET_KEYS"] = json.dumps(list(request.configSecretKeys))
        # The program inherits this process's standard output: the engine reads and shows it.
        process = subprocess.Popen(
            [python, "-u", script, *flags, program, *request.args], env=env, stdin=subprocess.DEVNULL
        )
        context.add_callback(lambda: process.poll() is None and process.terminate())
        status = process.wait()
        if status == ALREADY_SHOWN:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {status}" if status else "")

    def RunPlugin(self, request: Any, context: Any) -> Iterator[Any]:
        """Run a policy pack (kind analyzer) or a provider that is a Python program; stream its output."""
        python = _interpreter(request.info, context)
        given = dict(pair.split("=", 1) for pair in request.env if "=" in pair)
        target = request.info.program_directory
        pack = request.kind == "analyzer"
        arguments = ["-m", "pulumi.policy", *request.args, target] if pack else [target, *request.args]
        process = subprocess.Popen(
            [python, "-u", *arguments],
            cwd=request.pwd or None,
            env=_env_vars(python, given or None),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        context.add_callback(lambda: process.poll() is None and os.killpg(process.pid, signal.SIGTERM))
        for name, chunk in _interleaved({"stdout": process.stdout, "stderr": process.stderr}):
            yield language_pb2.RunPluginResponse(**{name: chunk})  # type: ignore[arg-type]
        yield language_pb2.RunPluginResponse(exitcode=process.wait())


def _interpreter(info: Any, context: Any) -> str:
    """Return the Python of the project's `virtualenv` option. Abort the call with an error if it does not exist."""
    folder = json_format.MessageToDict(info.options).get("virtualenv") or ".venv"
    python = Path(info.root_directory or info.program_directory) / folder / "bin" / "python"
    if not python.exists():
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{python} does not exist: `make` installs it from locks/.")
    return str(python)


def _env_vars(python: str, given: dict[str, str] | None = None) -> dict[str, str]:
    env = dict(os.environ if given is None else given)
    folder = Path(python).parent
    env["VIRTUAL_ENV"] = env["PULUMI_RUNTIME_VIRTUALENV"] = str(folder.parent)  # dynamic providers read the second
    env["PATH"] = f"{folder}{os.pathsep}{env.get('PATH', '')}"
    return env


def _query(python: str, program: str, context: Any) -> Any:
    run = subprocess.run([python, "-c", program], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if run.returncode != 0:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, run.stderr)
    return json.loads(run.stdout)


def _interleaved(streams: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    chunks: queue.Queue[tuple[str, bytes] | None] = queue.Queue()

    def pump(name: str, stream: Any) -> None:
        while chunk := os.read(stream.fileno(), 4096):
            chunks.put((name, chunk))
        chunks.put(None)

    for name, stream in streams.items():
        threading.Thread(target=pump, args=(name, stream), daemon=True).start()
    for _ in streams:
        while (item := chunks.get()) is not None:
            yield item


def main() -> None:
    """Serve the protocol on a loopback port until the engine ends."""
    addresses = [word for word in sys.argv[1:] if not word.startswith("-")]
    server = grpc.server(futures.ThreadPoolExecutor(32), options=list(MESSAGE_LIMIT))
    host = LanguageHost(addresses[-1] if addresses else "")
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # The engine ends its plugins with SIGINT and shows everything they print after it: end without output.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: server.stop(0))
    print(port, flush=True)
    engine = os.getppid()
    while server.wait_for_termination(timeout=1) and os.getppid() == engine:
        pass  # still serving; the parent process changes when the engine is killed
    os._exit(0)


if __name__ == "__main__":
    main()
