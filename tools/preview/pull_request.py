"""Preview a pull request in each environment and put the result into one comment. Any CI system can call this.

    python -m tools.preview.pull_request affected [BASE]      print the affected stacks, one a line
    python -m tools.preview.pull_request preview DIR [BASE]   record their previews in DIR, one file each
    python -m tools.preview.pull_request render DIR           print the comment
    python -m tools.preview.pull_request post DIR             create or update the comment on the pull request

`post` reads variables of GitHub Actions: GITHUB_TOKEN, GITHUB_REPOSITORY, GITHUB_EVENT_PATH, GITHUB_STEP_SUMMARY. If it
may not comment, as on a fork's pull request, it writes the text into the job's summary and succeeds.
"""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from paths import CHECKOUT
from tools.bootstrap.console import CliError, main, say
from tools.preview.events import Operation, Preview, changed, counts, property_diffs, read
from tools.preview.gpu_cost import gpu_and_cost_change
from tools.preview.impact import destructive_changes
from tools.preview.redact import escape_markdown, redact
from tools.preview.render import summary
from tools.preview.secrets import SECRET

MARKER = "<!-- rayllm preview -->"
"""First line of the comment, invisible to readers; `post` finds its earlier comment by it."""
FOLD = "<details>"
MAX_COMMENT = 60_000
"""Characters. GitHub's limit is 65,536."""
GITHUB_TIMEOUT_S = 30
SHARED_PATHS = ("config/", "infra/", "workloads/", "policies/", "tools/", "locks/", "Pulumi.yaml", "pyproject.toml")
"""Beginnings of the paths that affect every environment, besides the Python files at the top."""
RECORD_SUFFIX = ".preview"


def affected_stacks(paths: Iterable[str], stacks: Iterable[str]) -> list[str]:
    """Return the stacks that a change of `paths` can affect. Stack local is never one: it runs on one computer."""
    known = sorted(set(stacks) - {"local"})
    every = list(paths)
    for path in every:
        if (path.startswith(SHARED_PATHS) and not path.endswith(".md")) or re.fullmatch(r"[^/]+\.py", path):
            return known
    return [name for name in known if f"Pulumi.{name}.yaml" in every]


def render(previews: Mapping[str, Preview | str], *, offline: bool = False) -> str:
    """Return the comment. A text in place of a preview is the reason why there is none."""
    out = [MARKER, "## Preview of this pull request"]
    if offline:
        out.append(
            "> This preview ran without credentials against an empty state, so every resource shows as new. It still "
            "checks settings and policies."
        )
    out.append("\n".join(_table(previews)) if previews else "No environment is affected.")
    for name, preview in sorted(previews.items()):
        out.append(f"### {escape_markdown(name)}")
        if isinstance(preview, str):
            out.append(f"**No preview:** {escape_markdown(preview)}")
            continue
        out.append(_bold_titles(escape_markdown(summary(preview, name)).rstrip()))
        if diff := "\n".join(_diff(preview)):
            title = f"Every changed resource of {html.escape(redact(name))}"
            out.append(f"{FOLD}<summary>{title}</summary>\n\n```diff\n{diff}\n```\n\n</details>")
    return truncate(out)


def truncate(parts: Iterable[str]) -> str:
    """Join the parts within `MAX_COMMENT` characters: drop the longest folded part first, and at last cut the end."""
    parts = list(parts)
    while len(text := "\n\n".join(parts) + "\n") > MAX_COMMENT:
        folds = [part for part in parts if part.startswith(FOLD)]
        if not folds:
            note = "\n\n> Too long for a comment. The job's log and `make preview` show the rest.\n"
            return text[: MAX_COMMENT - len(note)].rpartition("\n")[0] + note
        longest = max(folds, key=len)
        parts[parts.index(longest)] = "> Too long for a comment. The job's log shows each changed resource."
    return text


def read_previews(folder: Path) -> dict[str, Preview | str]:
    """Return stack -> preview of every record in `folder`, or the reason why a record cannot be read."""
    found: dict[str, Preview | str] = {}
    for path in sorted(folder.glob(f"*{RECORD_SUFFIX}")):
        stack = path.name.removesuffix(RECORD_SUFFIX)
        try:
            found[stack] = read(path.read_text())
        except ValueError:
            found[stack] = "it ended before it found a change. The job's log says why."
        except (KeyError, TypeError) as problem:
            found[stack] = f"its record has an unexpected form ({problem!r})."
    return found


def _table(previews: Mapping[str, Preview | str]) -> Iterator[str]:
    """Yield the rows of a table of all stacks."""
    yield "| environment | resources | GPUs | GPU nodes for one month | attention |"
    yield "|---|---|---|---|---|"
    for name, preview in sorted(previews.items()):
        cells = ["no preview", "", "", ""] if isinstance(preview, str) else _cells(preview)
        yield f"| **{escape_markdown(name)}** | {' | '.join(map(escape_markdown, cells))} |"


def _cells(preview: Preview) -> list[str]:
    resources = ", ".join(f"{n} {operation}" for operation, n in counts(preview).items() if n) or "no change"
    gpus, month = gpu_and_cost_change(preview) or ("", "")
    mandatory = sum(violation.level == "mandatory" for violation in preview.violations)
    look = [
        *(["the preview failed"] if preview.errors else []),
        *([f"{n} destructive"] if (n := len(list(destructive_changes(preview)))) else []),
        *([f"{mandatory} mandatory policy violations"] if mandatory else []),
        *([f"{n} warning{'s' if n > 1 else ''}"] if (n := len(preview.warnings)) else []),
    ]
    return [resources, gpus, month, ", ".join(look)]


def _bold_titles(text: str) -> str:
    return re.sub(r"^(?!- )(.+:)$", r"**\1**", text, flags=re.MULTILINE)


def _diff(preview: Preview) -> Iterator[str]:
    sign = {Operation.CREATED: "+", Operation.DESTROYED: "-"}
    for change in changed(preview):
        yield f"{sign.get(change.operation, '!')} {change.operation} {_line(change.title)}"
        for path, kind, old, new in property_diffs(change):
            if old == new and old != SECRET:
                continue  # an item of a list moved
            forced = "   # forces the replacement" if kind.endswith("-replace") else ""
            yield f"      {_line(path)}: {_line(old)} -> {_line(new)}{forced}"


def _line(value: str) -> str:
    """Return one redacted line of at most 100 characters. Redaction comes first: it would miss half a digest."""
    text = redact(" ".join(value.split())).replace("```", "'''")
    return f"{text[:97]}..." if len(text) > 100 else text


# Commands


def show_affected(base: str = "origin/main") -> int:
    """Print the affected stacks."""
    say("\n".join(_affected(base)))
    return 0


def preview(folder: str, base: str = "origin/main") -> int:
    """Record a preview of each affected stack. If one fails, the others still run and the comment reports it."""
    target = Path(folder).resolve()
    target.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in _affected(base):
        record = target / f"{name}{RECORD_SUFFIX}"
        record.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tools.cli", "preview", name]
        failed = _run_redacted(command, {**os.environ, **preview_env_vars(name, record)}) or failed
        if not record.exists() or not record.stat().st_size:
            record.write_text("none")  # so that the comment names this stack
    return failed


def show(folder: str) -> int:
    """Print the comment."""
    say(_comment(folder))
    return 0


def post(folder: str) -> int:
    """Update the earlier comment, or create one. Write into the job's summary if commenting is not possible."""
    text = _comment(folder)
    number = _pull_request_number()
    token, repository = os.environ.get("GITHUB_TOKEN", ""), os.environ.get("GITHUB_REPOSITORY", "")
    if not (token and repository and number):
        return _write_job_summary(text, "there is no pull request or no token")
    try:
        comments = f"/repos/{repository}/issues/{number}/comments"
        old = _find_comment(comments, token)
        if old is None:
            _request("POST", comments, token, {"body": text})
        else:
            _request("PATCH", f"/repos/{repository}/issues/comments/{old}", token, {"body": text})
    except (urllib.error.URLError, TimeoutError, ValueError) as problem:
        return _write_job_summary(text, f"GitHub did not accept the comment ({_reason(problem)})")
    say("The comment is up to date.")
    return 0


def preview_env_vars(stack: str, record: Path) -> dict[str, str]:
    """Return the variables with which `tools.cli preview` writes the preview of `stack` into `record`.

    Each environment keeps its state in a bucket of its own (docs/how-to/state.md), so PULUMI_BACKEND_URL may contain
    `{environment}`.
    """
    backend = os.environ.get("PULUMI_BACKEND_URL", "").replace("{environment}", stack)
    return {
        "PULUMI_DEBUG_COMMANDS": "true",  # enables --event-log
        "ARGS": f"--event-log {record} --non-interactive",
        **({"PULUMI_BACKEND_URL": backend} if backend else {}),
    }


def _affected(base: str) -> list[str]:
    command = ["git", "diff", "--name-only", "--no-renames", "-z", f"{base}...HEAD"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    if done.returncode:
        raise CliError(f"git does not know {base}. Fetch the base branch too (actions/checkout: fetch-depth: 0).")
    names = (path.name.split(".")[1] for path in CHECKOUT.glob("Pulumi.*.yaml"))
    return affected_stacks(filter(None, done.stdout.split("\0")), names)


def _run_redacted(command: list[str], env: dict[str, str]) -> int:
    """Run a command and print its redacted output: a public repository shows the job's log to everyone."""
    pipe, both = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=env, stdout=pipe, stderr=both, text=True, errors="replace"
    ) as process:
        for line in cast("IO[str]", process.stdout):
            say(redact(line.rstrip("\n")))
    return process.returncode


def _comment(folder: str) -> str:
    return render(read_previews(Path(folder)), offline=os.environ.get("PREVIEW_OFFLINE") == "true")


def _write_job_summary(text: str, reason: str) -> int:
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a") as out:
            out.write(text)
    else:
        say(text)
    say(f"The comment is in the job's summary only: {reason}.")
    return 0


def _pull_request_number() -> int | None:
    """Return the number of the pull request that the job runs for."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    event = json.loads(Path(path).read_text()) if path and Path(path).exists() else {}
    return (event.get("pull_request") or {}).get("number")


def _find_comment(comments: str, token: str) -> int | None:
    """Return the id of the earlier comment: one by a bot that begins with the marker.

    A person may quote the marker further down, and a person's own comment must never be overwritten.
    """
    page = 1
    while found := cast("list[dict[str, Any]]", _request("GET", f"{comments}?per_page=100&page={page}", token)):
        for each in found:
            if each["body"].startswith(MARKER) and each["user"]["type"] == "Bot":
                return int(each["id"])
        page += 1
    return None


def _request(method: str, path: str, token: str, body: dict[str, str] | None = None) -> object:
    request = urllib.request.Request(
        os.environ.get("GITHUB_API_URL", "https://api.github.com") + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"},
    )
    with urllib.request.urlopen(request, timeout=GITHUB_TIMEOUT_S) as answer:
        return json.loads(answer.read())


def _reason(problem: Exception) -> str:
    return f"status {problem.code}" if isinstance(problem, urllib.error.HTTPError) else type(problem).__name__


COMMANDS: dict[str, Callable[..., int]] = {
    "affected": show_affected,
    "preview": preview,
    "render": show,
    "post": post,
}

if __name__ == "__main__":
    main(lambda: COMMANDS[sys.argv[1]](*sys.argv[2:]))
