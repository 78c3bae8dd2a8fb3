"""One comment on a pull request: what it would change in each environment, from recorded previews. Any CI can call it.

    python -m tools.pull_request affected [BASE]   the environments that the change since BASE can touch, one a line
    python -m tools.pull_request preview DIR [BASE]   their previews, recorded in DIR, one file an environment
    python -m tools.pull_request render DIR        the comment, from DIR
    python -m tools.pull_request post DIR          the comment, put on the pull request or brought up to date there

`post` reads what GitHub Actions sets: GITHUB_TOKEN, GITHUB_REPOSITORY, GITHUB_EVENT_PATH, GITHUB_STEP_SUMMARY. Where it
may not comment, as on a fork's pull request, it writes the same text into the job's summary and is content.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from tools.console import Stop, main, say
from tools.summary import CREATED, DESTROYED, SECRET, UPDATED, Plan, changed, differences, read, summary

CHECKOUT = Path(__file__).resolve().parents[1]
MARKER = "<!-- rayllm preview -->"
"""By which the comment is found again; a person does not see it."""
MOST = 60_000
"""GitHub takes comments of 65,536 characters."""
TIME_LIMIT_S = 30
EVERYWHERE = ("infra/", "workloads/", "policies/", "tools/", "locks/", "Pulumi.yaml", "pyproject.toml")
"""What every environment is made from, as beginnings of paths; and each Python file at the top."""
RECORD = ".preview"

REDACTED = (
    (re.compile(r"[\w.+%-]+@[\w-]+(\.[\w-]+)+"), "[account]"),
    (re.compile(r"\b[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}\b"), "[billing account]"),
    (re.compile(r"\b[0-9a-f]{32,}\b"), "[digest]"),
    (re.compile(r"\b(ya29\.|gh[a-z]_|github_pat_|hf_|AIza|v1:)[\w+/=:.-]{10,}"), "[secret]"),
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), "[secret]"),
    (re.compile(r"(?<![\d.,])\d{9,}(?![\d.,]\d)"), "[number]"),
)
"""Accounts, digests and what looks like a credential or a project's number: a pull request has other readers than the
state has."""


def affected(paths: Iterable[str], environments: Iterable[str]) -> list[str]:
    """The environments that a change of `paths` can touch; `local` is nobody's but the machine's it runs on."""
    known = sorted(set(environments) - {"local"})
    every = list(paths)
    for path in every:
        if (path.startswith(EVERYWHERE) and not path.endswith(".md")) or re.fullmatch(r"[^/]+\.py", path):
            return known
    return [name for name in known if f"Pulumi.{name}.yaml" in every]


def render(plans: dict[str, Plan | str], *, offline: bool = False) -> str:
    """The comment. A text in a plan's place says why there is none."""
    out = [MARKER, "## What this would change"]
    if offline:
        out.append(
            "> Planned without credentials, against an empty state: everything shows as new. What the settings and the "
            "policies refuse is refused all the same."
        )
    if not plans:
        out.append("No environment is affected.")
    for name, plan in sorted(plans.items()):
        out.append(f"### {name}")
        if isinstance(plan, str):
            out.append(f"**There is no preview:** {safe(plan)}")
            continue
        out.append(safe(summary(plan, name)).rstrip())
        if diff := "\n".join(_diff(plan)):
            out.append(
                f"<details><summary>Every changed resource of {safe(name)}</summary>\n\n```diff\n{diff}\n```\n\n"
                "</details>"
            )
    text = "\n\n".join(out) + "\n"
    return text if len(text) <= MOST else _shortened(out)


def redact(text: str) -> str:
    """`text` without what the readers of a pull request have no business with."""
    for pattern, instead in REDACTED:
        text = pattern.sub(instead, text)
    return text


def safe(text: str) -> str:
    """Redacted, and without a mark that Markdown, HTML or GitHub (a mention) would act on."""
    text = redact(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")
    return re.sub(r"([`*_\[\]~])", r"\\\1", text.replace("@", "@\u200b"))


def previews(folder: Path) -> dict[str, Plan | str]:
    """Environment -> its preview, of every record in `folder`."""
    found: dict[str, Plan | str] = {}
    for path in sorted(folder.glob(f"*{RECORD}")):
        try:
            found[path.name.removesuffix(RECORD)] = read(path.read_text())
        except (ValueError, KeyError, TypeError) as problem:
            found[path.name.removesuffix(RECORD)] = f"its record cannot be read ({type(problem).__name__})."
    return found


def _diff(plan: Plan) -> Iterator[str]:
    sign = {CREATED: "+", DESTROYED: "-", UPDATED: "!"}
    for change in changed(plan):
        yield f"{sign.get(change.does, '!')} {change.does} {redact(change.title)}"
        for path, kind, old, new in differences(change):
            if old == new and old != SECRET:
                continue  # it only moved within its list
            forced = "   # forces the replacement" if kind.endswith("-replace") else ""
            yield f"      {_line(path)}: {_line(old)} -> {_line(new)}{forced}"


def _line(value: str) -> str:
    """Redacted before it is cut: half a digest would not be known for one."""
    text = redact(" ".join(value.split())).replace("```", "'''")
    return f"{text[:97]}..." if len(text) > 100 else text


def _shortened(parts: list[str]) -> str:
    """Without folded parts; they are in the job's log. What is still too long ends with a word about it."""
    text = "\n\n".join(part for part in parts if not part.startswith("<details>"))
    note = "\n\n> Too long for a comment: the rest is in the job's log and in `make preview`.\n"
    return text[: MOST - len(note)] + note


# The commands


def _affected(base: str) -> list[str]:
    command = ["git", "diff", "--name-only", f"{base}...HEAD"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    if done.returncode:
        raise Stop(f"git does not know {base}: fetch the base branch too (actions/checkout: fetch-depth: 0).")
    names = (path.name.split(".")[1] for path in CHECKOUT.glob("Pulumi.*.yaml"))
    return affected(done.stdout.splitlines(), names)


def show_affected(base: str = "origin/main") -> int:
    """Print them."""
    say("\n".join(_affected(base)))
    return 0


def preview(folder: str, base: str = "origin/main") -> int:
    """Record the previews. One that fails is a part of what there is to say, so the others still run."""
    where = Path(folder).resolve()
    where.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in _affected(base):
        record = where / f"{name}{RECORD}"
        command = [sys.executable, "-m", "tools.stack", "preview", name]
        done = subprocess.run(command, cwd=CHECKOUT, env={**os.environ, **variables(name, record)})
        failed = failed or done.returncode
        if not record.exists() or not record.stat().st_size:
            record.write_text("none")  # so that the comment says so
    return failed


def variables(environment: str, record: Path) -> dict[str, str]:
    """Of one preview. Each environment has a bucket of its own for its state (docs/operations/state.md), so
    PULUMI_BACKEND_URL may have `{environment}` in it."""
    backend = os.environ.get("PULUMI_BACKEND_URL", "").replace("{environment}", environment)
    return {
        "PULUMI_DEBUG_COMMANDS": "true",  # for --event-log
        "ARGS": f"--event-log {record} --non-interactive",
        **({"PULUMI_BACKEND_URL": backend} if backend else {}),
    }


def show(folder: str) -> int:
    """Print the comment."""
    say(_comment(folder))
    return 0


def post(folder: str) -> int:
    """Put the comment where the last one was, or make one. Never fails for want of a right to comment."""
    text = _comment(folder)
    number = _number()
    token, repository = os.environ.get("GITHUB_TOKEN", ""), os.environ.get("GITHUB_REPOSITORY", "")
    if not (token and repository and number):
        return _in_the_summary(text, "there is no pull request, or no token, to comment with")
    try:
        comments = f"/repos/{repository}/issues/{number}/comments"
        old = _find(comments, token)
        if old is None:
            _ask("POST", comments, token, {"body": text})
        else:
            _ask("PATCH", f"/repos/{repository}/issues/comments/{old}", token, {"body": text})
    except (urllib.error.URLError, TimeoutError, ValueError) as problem:
        return _in_the_summary(text, f"GitHub did not take the comment ({_reason(problem)})")
    say("The comment is up to date.")
    return 0


def _comment(folder: str) -> str:
    return render(previews(Path(folder)), offline=os.environ.get("PREVIEW_OFFLINE") == "true")


def _in_the_summary(text: str, why: str) -> int:
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a") as out:
            out.write(text)
    else:
        say(text)
    say(f"The comment is in the job's summary only: {why}.")
    return 0


def _number() -> int | None:
    """Of the pull request that the job runs for."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    event = json.loads(Path(path).read_text()) if path and Path(path).exists() else {}
    return (event.get("pull_request") or {}).get("number")


def _find(comments: str, token: str) -> int | None:
    """The comment of before. Only one that begins with the marker: a person may quote it further down. And only a
    bot's, so that nobody's own words are written over."""
    page = 1
    while found := cast("list[dict[str, Any]]", _ask("GET", f"{comments}?per_page=100&page={page}", token)):
        for each in found:
            if each["body"].startswith(MARKER) and each["user"]["type"] == "Bot":
                return int(each["id"])
        page += 1
    return None


def _ask(method: str, path: str, token: str, body: dict[str, str] | None = None) -> object:
    request = urllib.request.Request(
        os.environ.get("GITHUB_API_URL", "https://api.github.com") + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"},
    )
    with urllib.request.urlopen(request, timeout=TIME_LIMIT_S) as answer:
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
