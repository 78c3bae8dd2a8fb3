"""Check a running stack local and print one line for each check.

`python -m verify.local_report` reads the stack's outputs as JSON from standard input. It changes nothing and requests
one short completion. Exit status 1: a check failed, or the completion was empty.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from config.data_path import DATA_PATHS, DataPath
from verify import checks
from verify.check_result import CheckResult, format_results, result
from verify.checks import run_locally
from workloads.local import processes

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def check_results(outputs: Mapping[str, Any], completion: Mapping[str, Any]) -> Iterator[CheckResult]:
    """Yield the results of all checks, in the order in which a request passes the components."""
    data_path = DATA_PATHS[DataPath(outputs["data_path"])]
    port = urlsplit(outputs["endpoint"]).port
    assert port is not None
    yield checks.proxy(run_locally, port, data_path)
    actors = run_locally("actors", outputs["dashboard"])
    yield checks.token_path(completion, actors, data_path)
    yield checks.executor(actors)
    yield loopback_only(outputs["process_tag"])


def loopback_only(process_tag: str) -> CheckResult:
    """Check that every process of the stack listens on loopback addresses only."""
    listening = processes.listening(process_tag)
    others = [f"{address}:{port}" for address, port in listening if address not in LOOPBACK]
    addresses = f"these on other addresses: {others}" if others else "all on 127.0.0.1"
    return result("loopback only", f"{len(listening)} listening ports, {addresses}", bool(listening) and not others)


def main() -> int:
    """Print the results and the completion. Return the exit status."""
    outputs = json.load(sys.stdin)
    stats = outputs["haproxy_stats"] if DATA_PATHS[DataPath(outputs["data_path"])].haproxy else None
    completion = checks.stream(run_locally, outputs["endpoint"], outputs["model"], stats)
    results = list(check_results(outputs, completion))
    print("\n".join(format_results(results)))
    noise = " (random weights, so the text is noise)" if outputs.get("random_weights") else ""
    print(f"\n  {outputs['model']}{noise}: {completion['text']!r}")
    print(f"  {completion['chunks']} chunks streamed, the first after {completion['first_s']:.2f} s")
    return 0 if all(each.ok for each in results) and completion["chunks"] else 1


if __name__ == "__main__":
    sys.exit(main())
