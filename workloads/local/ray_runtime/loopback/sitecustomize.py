"""Keep listeners on loopback and files in the stack's directory where Ray and vLLM have no setting for it. For the
local host only (stack `local`).

Ray and vLLM use the configured addresses, except here:
  - each Serve replica opens its inter-deployment gRPC server on `[::]` (ray/serve/_private/replica.py);
  - the v2 executor's first worker opens torch's TCPStore on every interface (vllm/v1/executor/ray_executor_v2.py).
Each replica downloads LoRA adapters to /tmp/ray/llm/lora/cache (ray/llm/_internal/serve/utils/lora_serve_utils.py),
which all stacks of a host would share; here it is a directory of the process below the stack's own.
It also puts the folder of Ray's weights callback (pod_scripts/rayllm_weights.py) on the module path, as pods have it.
Python runs a module of this name at its start if its directory is on PYTHONPATH; workloads/local/ray_head.py sets that
for all processes of the Ray head. The module changes the address when Python imports one of these modules, and
changes nothing else. tests/serving checks from outside that no port of the stack is reachable from another host.
"""

import functools
import importlib.abc
import importlib.util
import os
import socket
import sys
import tempfile
from pathlib import Path

POD_SCRIPTS = Path(__file__).resolve().parents[3] / "kubernetes" / "pod_scripts"


def _grpc_on_loopback(module):
    original = module.add_port_to_grpc_server

    @functools.wraps(original)
    def add_port_to_grpc_server(server, address):
        return original(server, address.replace("[::]:", "127.0.0.1:").replace("0.0.0.0:", "127.0.0.1:"))

    module.add_port_to_grpc_server = add_port_to_grpc_server


def _tcp_store_on_loopback(module):
    class TCPStore(module.TCPStore):
        """torch's TCPStore, listening only on the address that it announces."""

        def __init__(self, host_name, port=0, *args, **options):
            if options.get("is_master") and "master_listen_fd" not in options:
                listener = socket.create_server((host_name, port), reuse_port=False)
                port = listener.getsockname()[1]
                options["master_listen_fd"] = listener.detach()
            super().__init__(host_name, port, *args, **options)

    module.TCPStore = TCPStore


def _adapters_in_own_directory(module):
    class LoraModelLoader(module.LoraModelLoader):
        """Ray's loader, with a directory of its own."""

        def __init__(self, lora_root=None, *args, **options):
            own = os.path.join(tempfile.gettempdir(), "lora", str(os.getpid()))  # noqa: PTH118
            super().__init__(lora_root or own, *args, **options)

    module.LoraModelLoader = LoraModelLoader


PATCHES = {
    "ray._common.tls_utils": _grpc_on_loopback,
    "torch.distributed": _tcp_store_on_loopback,
    "ray.llm._internal.serve.utils.lora_serve_utils": _adapters_in_own_directory,
}


class _PatchAfterImport(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name not in PATCHES:
            return None
        patch = PATCHES.pop(name)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        original = spec.loader.exec_module

        def exec_module(module):
            original(module)
            patch(module)

        spec.loader.exec_module = exec_module
        return spec


if os.environ.get("RAYLLM_PROCESS_TAG"):
    sys.meta_path.insert(0, _PatchAfterImport())
    sys.path.append(str(POD_SCRIPTS))  # last: no file of it hides another module
