"""The page docs/reference/routes.md: which routes each kind of model has on each data path."""

from __future__ import annotations

from collections.abc import Iterable

from config.routes import CLOSED_ROUTES, PUBLIC_ROUTES, SERVED_BY, SERVED_ROUTES, SERVED_SEGMENTS

HEADINGS = {
    "direct_streaming": "direct_streaming and least_connections",
    "python_proxy": "python_proxy and haproxy",
}


def page() -> str:
    """Return the page in Markdown."""
    out = (
        "# Routes\n\n"
        "What a model answers depends on its kind and on `serving.data_path`. On `direct_streaming` and "
        "`least_connections` a replica serves vLLM's own application. On `python_proxy` and `haproxy` Ray's "
        "OpenAiIngress, which has fewer routes, stands before it. The lists come from the applications that Ray "
        f"{SERVED_BY['ray']} and vLLM {SERVED_BY['vllm']} build (`tools/vllm/list_routes.py`).\n\n"
        "`make up` on stack `local` sends a request of the model's kind and prints it. A kind without a route of its "
        "own on `python_proxy` needs `direct_streaming`. `/v1/chat/completions` also needs a chat template. "
        "`engine.engine_kwargs: {runner: pooling}` turns a model that generates text into an embedding model.\n"
    )
    for data_path, kinds in SERVED_ROUTES.items():
        common = [path for path in next(iter(kinds.values())) if all(path in paths for paths in kinds.values())]
        out += f"\n## {HEADINGS[data_path]}\n\n| kind of model | open routes |\n|---|---|\n"
        for kind, paths in kinds.items():
            own = [path for path in paths if path not in common and path in PUBLIC_ROUTES]
            out += f"| {kind} | {_code(own) if own else 'none of its own'} |\n"
        out += f"| every kind | {_code([path for path in common if path in PUBLIC_ROUTES])} |\n"
    out += (
        "\n## Closed routes\n\nA model answers these too, and callers get 404 (`config/routes.py`). Ray Serve's "
        "`/-/healthz` is open, `/-/routes` is not.\n\n| route | why it is closed |\n|---|---|\n"
    )
    out += "".join(f"| `{path}` | {reason} |\n" for path, reason in sorted(CLOSED_ROUTES.items()))
    return out + (
        "\n## Paths of other models\n\nA gateway forwards every path to the primary model that no other model has, so "
        "the path of another model must not begin with the first segment of any route, in any supported version and "
        f"with any option: {_code(sorted(SERVED_SEGMENTS))}.\n"
    )


def _code(paths: Iterable[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)
