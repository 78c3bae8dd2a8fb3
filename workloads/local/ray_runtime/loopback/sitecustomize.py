"""Keeps two listeners on loopback that have no setting of their own. For one computer only (stack `local`).

Ray and vLLM honour the addresses that they are given, except here:
  - each Serve replica opens its inter-deployment gRPC server on `[::]` (ray/serve/_private/replica.py);
  - the v2 executor's first worker opens torch's TCPStore on every interface (vllm/v1/executor/ray_executor_v2.py).
Python runs a module of this name at start-up when its folder is on PYTHONPATH, which workloads/local/ray_head.py does
for everything below the Ray head. It waits for the two modules to be imported and narrows the address; nothing else
changes, and tests/serving proves from the outside that no port of the stack can be reached from another computer.
"""

import functools
import importlib.abc
import importlib.util
import os
import socket
import sys


def _narrow_grpc(module):
    original = module.add_port_to_grpc_server

    @functools.wraps(original)
    def add_port_to_grpc_server(server, address):
        return original(server, address.replace("[::]:", "127.0.0.1:").replace("0.0.0.0:", "127.0.0.1:"))

    module.add_port_to_grpc_server = add_port_to_grpc_server


def _narrow_store(module):
    class TCPStore(module.TCPStore):
        """torch's own, listening on the address it announces instead of on all of them."""

        def __init__(self, host_name, port=0, *args, **options):
            if options.get("is_master") and "master_listen_fd" not in options:
                listener = socket.create_server((host_name, port), reuse_port=False)
                port = listener.getsockname()[1]
                options["master_listen_fd"] = listener.detach()
            super().__init__(host_name, port, *args, **options)

    module.TCPStore = TCPStore


NARROWED = {"ray._common.tls_utils": _narrow_grpc, "torch.distributed": _narrow_store}


class _AfterImport(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name not in NARROWED:
            return None
        narrow = NARROWED.pop(name)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            narrow(module)

        spec.loader.exec_module = exec_module
        return spec


if os.environ.get("RAYLLM_PROCESS_TAG"):
    sys.meta_path.insert(0, _AfterImport())
