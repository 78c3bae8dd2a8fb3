"""What both stand-in plugins share: the small methods of Pulumi's provider protocol, and the server."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import Any, ClassVar, NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

MESSAGE_LIMITS = ("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20)


class StandInPlugin(provider_pb2_grpc.ResourceProviderServicer):
    """A Pulumi resource plugin that stands in for the real one of `package`.

    Its methods are those of the protocol; the engine calls them from several threads.
    """

    package: ClassVar[str]

    def __init__(self) -> None:
        self._version = importlib.metadata.version(f"pulumi-{self.package}")
        self._cancelled = threading.Event()

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=False, accept_outputs=False, supports_autonaming_configuration=True
        )

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=self._version)

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": self.package, "version": self._version}))

    def GetMapping(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetMappingResponse()

    def GetMappings(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetMappingsResponse()

    def Cancel(self, request: Any, context: Any) -> Any:
        self._cancelled.set()
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Configure(self, request: Any, context: Any) -> Any:
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )


def diff_response(
    changes: Mapping[str, str],
    replaces: Sequence[str],
    *,
    delete_before_replace: bool,
    is_input: Callable[[str], bool] = lambda path: True,
) -> Any:
    """Return the answer to Diff for `changes` (path -> add, delete or update), of which `replaces` force a replacement.

    `is_input` says whether the engine compares the old and new inputs at a path, or the outputs.
    """

    def kind(path: str) -> Any:
        suffix = "_REPLACE" if path in replaces else ""
        return provider_pb2.PropertyDiff.Kind.Value(changes[path].upper() + suffix)

    some = provider_pb2.DiffResponse.DIFF_SOME if changes else provider_pb2.DiffResponse.DIFF_NONE
    return provider_pb2.DiffResponse(
        changes=some,
        replaces=replaces,
        deleteBeforeReplace=bool(replaces) and delete_before_replace,
        diffs=sorted({re.split(r"[.\[]", path)[0] for path in changes}),
        detailedDiff={path: provider_pb2.PropertyDiff(kind=kind(path), inputDiff=is_input(path)) for path in changes},
        hasDetailedDiff=True,
    )


def abort(context: Any, reason: str) -> NoReturn:
    """Answer the request with an error."""
    context.abort(grpc.StatusCode.UNKNOWN, reason)
    raise AssertionError("grpc's abort raises")


def serve(plugin: StandInPlugin) -> None:
    """Serve on a loopback port until the engine stops the plugin or ends. Print the port, as the engine expects."""
    server = grpc.server(futures.ThreadPoolExecutor(64), options=list(MESSAGE_LIMITS))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(plugin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):  # the engine ends plugins with SIGINT and shows what they print
        signal.signal(number, lambda *_: os._exit(0))
    parent = os.getppid()
    while server.wait_for_termination(0.5) and os.getppid() == parent:  # a killed engine does not stop its plugins
        pass
    os._exit(0)
