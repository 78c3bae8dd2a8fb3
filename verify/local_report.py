"""What the running stack says of itself: each pillar proven from the outside, in one line.

Read-only but for one short completion. Run as `python -m verify.local_report` with the stack's outputs as JSON on
standard input; ends with 1 when something is not as declared.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from config.data_path import DATA_PATHS, DataPath
from verify import checks
from verify.checks import Finding, here
from workloads.local import processes

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def findings(outputs: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything that can be told apart from outside, in the order a request meets it."""
    terms = DATA_PATHS[DataPath(outputs["data_path"])]
    port = urlsplit(outputs["endpoint"]).port
    assert port is not None
    yield checks.front(here, port, terms)
    actors = here("actors", outputs["dashboard"])
    yield checks.route(answer, actors, terms)
    yield checks.executor(actors)
    yield loopback(outputs["process_tag"])


def loopback(mark: str) -> Finding:
    """Of every process of the stack."""
    listening = processes.listening(mark)
    open_ones = [f"{address}:{port}" for address, port in listening if address not in LOOPBACK]
    seen = f"{len(listening)} ports listen, " + (
        f"these not on loopback: {open_ones}" if open_ones else "all on 127.0.0.1"
    )
    return Finding("reachable from here only", seen, bool(listening) and not open_ones)


def main() -> int:
    outputs = json.load(sys.stdin)
    stats = outputs["haproxy_stats"] if DATA_PATHS[DataPath(outputs["data_path"])].haproxy else None
    answer = checks.stream(here, outputs["endpoint"], outputs["model"], stats)
    seen = list(findings(outputs, answer))
    width = max(len(finding.claim) for finding in seen)
    for finding in seen:
        print(f"  {'ok ' if finding.holds else 'NOT'}  {finding.claim:{width}}  {finding.seen}")
    noise = " (random weights: noise)" if outputs.get("random_weights") else ""
    print(f"\n  {outputs['model']}{noise}: {answer['said']!r}")
    print(f"  {answer['chunks']} chunks streamed, the first after {answer['first_s']:.2f} s")
    return 0 if all(finding.holds for finding in seen) and answer["chunks"] else 1


if __name__ == "__main__":
    sys.exit(main())
