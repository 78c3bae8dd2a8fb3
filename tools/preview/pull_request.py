"""One comment on a pull request: what it would change in each environment, from recorded previews. Any CI can call it.

    python -m tools.preview.pull_request affected [BASE]   the environments that the change can touch, one a line
    python -m tools.preview.pull_request preview DIR [BASE]   their previews, recorded in DIR, one file an environment
    python -m tools.preview.pull_request render DIR        the comment, from DIR
    python -m tools.preview.pull_request post DIR          the comment, put on the pull request or updated there

`post` reads what GitHub Actions sets: GITHUB_TOKEN, GITHUB_REPOSITORY, GITHUB_EVENT_PATH, GITHUB_STEP_SUMMARY. Where it
may not comment, as on a fork's pull request, it writes the same text into the job's summary and is content.
"""

from __future__ import annotations

import html
import ipaddress
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from paths import CHECKOUT
from tools.bootstrap.console import CliError, main, say
from tools.preview.render import (
    CREATED,
    DESTROYED,
    SECRET,
    UPDATED,
    Plan,
    changed,
    counts,
    dangers,
    differences,
    money,
    read,
    summary,
)

MARKER = "<!-- rayllm preview -->"
"""By which the comment is found again; a person does not see it."""
FOLD = "<details>"
MOST = 60_000
"""GitHub takes comments of 65,536 characters."""
TIME_LIMIT_S = 30
EVERYWHERE = ("config/", "infra/", "workloads/", "policies/", "tools/", "locks/", "Pulumi.yaml", "pyproject.toml")
"""What every environment is made from, as beginnings of paths; and each Python file at the top."""
RECORD = ".preview"


def _of_the_world(found: re.Match[str]) -> str:
    """An address that only this network knows stays; it is in the environment's file."""
    try:
        return "[address]" if ipaddress.ip_address(found.group()).is_global else found.group()
    except ValueError:
        return found.group()


REDACTED: Sequence[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = (
    (re.compile(r"-----BEGIN [^-\n]+-----.*?(-----END [^-\n]+-----|$)", re.MULTILINE), "[secret]"),
    (re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"), "[secret]"),
    (re.compile(r"(?i)\bbearer\s+[\w.~+/=-]{8,}"), "[secret]"),
    (
        re.compile(r"""(?i)(\b\w*(?:passw\w*|secret|token(?!i)|api_?key)\w*["']?\s*[:=]\s*["']?)[^\s"',}\[]{8,}"""),
        r"\1[secret]",
    ),
    (re.compile(r"\b(ya29\.|gh[a-z]_|github_pat_|hf_|sk-|AIza|v1:)[\w+/=:.-]{10,}"), "[secret]"),
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), "[secret]"),
    (re.compile(r"\bLS0tLS1[\w+/=]*"), "[secret]"),  # a certificate or key in a kubeconfig
    (re.compile(r"[\w.+%-]+@[\w-]+(\.[\w-]+)+"), "[account]"),
    (re.compile(r"\b[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}\b"), "[billing account]"),
    (re.compile(r"\b[0-9a-f]{32,}\b"), "[digest]"),
    (re.compile(r"(?<![\w+/])[A-Za-z0-9+/]{64,}={0,2}(?![\w+/])"), "[secret]"),  # a line of a key
    (re.compile(r"(?<![\w.])(\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"), _of_the_world),
    (re.compile(r"(?<![\w:])[0-9a-fA-F]{1,4}:[0-9a-fA-F:]*:[0-9a-fA-F]*(?![\w:])"), _of_the_world),
    (re.compile(r"(?<![\d.,])\d{9,}(?![\d.,]\d)"), "[number]"),
)
"""Credentials, accounts, addresses and what looks like a digest or a project's number: a pull request and its log have
other readers than the state has."""


def affected(paths: Iterable[str], environments: Iterable[str]) -> list[str]:
    """The environments that a change of `paths` can touch; `local` is nobody's but the machine's it runs on."""
    known = sorted(set(environments) - {"local"})
    every = list(paths)
    for path in every:
        if (path.startswith(EVERYWHERE) and not path.endswith(".md")) or re.fullmatch(r"[^/]+\.py", path):
            return known
    return [name for name in known if f"Pulumi.{name}.yaml" in every]


def render(plans: Mapping[str, Plan | str], *, offline: bool = False) -> str:
    """The comment. A text in a plan's place says why there is none."""
    out = [MARKER, "## What this would change"]
    if offline:
        out.append(
            "> Planned without credentials, against an empty state: everything shows as new. What the settings and the "
            "policies refuse is refused all the same."
        )
    out.append("\n".join(_table(plans)) if plans else "No environment is affected.")
    for name, plan in sorted(plans.items()):
        out.append(f"### {safe(name)}")
        if isinstance(plan, str):
            out.append(f"**There is no preview:** {safe(plan)}")
            continue
        out.append(_marked(safe(summary(plan, name)).rstrip()))
        if diff := "\n".join(_diff(plan)):
            title = f"Every changed resource of {html.escape(redact(name))}"
            out.append(f"{FOLD}<summary>{title}</summary>\n\n```diff\n{diff}\n```\n\n</details>")
    return _fitting(out)


def redact(text: str) -> str:
    """`text` without what the readers of a pull request have no business with."""
    for pattern, instead in REDACTED:
        text = pattern.sub(instead, text)
    return text


def safe(text: str) -> str:
    """Redacted, and without a mark that Markdown, HTML or GitHub (a mention, an issue's number) would act on."""
    text = redact(text).replace("&", "&amp;").replace("<", "&lt;").replace("@", "@\u200b")
    text = re.sub(r"#(?=\d)", "#\u200b", text)
    return re.sub(r"([\\`*_\[\]~#>|])", r"\\\1", text)


def previews(folder: Path) -> dict[str, Plan | str]:
    """Environment -> its preview, of every record in `folder`."""
    found: dict[str, Plan | str] = {}
    for path in sorted(folder.glob(f"*{RECORD}")):
        try:
            found[path.name.removesuffix(RECORD)] = read(path.read_text())
        except ValueError:
            found[path.name.removesuffix(RECORD)] = "it ended before it planned anything; the job's log says why."
        except (KeyError, TypeError) as problem:
            found[path.name.removesuffix(RECORD)] = f"its record has another form than expected ({problem!r})."
    return found


def _table(plans: Mapping[str, Plan | str]) -> Iterator[str]:
    """All environments at a glance."""
    yield "| environment | resources | GPUs | a month of GPU nodes | look at |"
    yield "|---|---|---|---|---|"
    for name, plan in sorted(plans.items()):
        cells = ["no preview", "", "", ""] if isinstance(plan, str) else _cells(plan)
        yield f"| **{safe(name)}** | {' | '.join(map(safe, cells))} |"


def _cells(plan: Plan) -> list[str]:
    resources = ", ".join(f"{n} {does}" for does, n in counts(plan).items() if n) or "nothing changes"
    gpus, month = money(plan) or ("", "")
    broken = sum(verdict.level == "mandatory" for verdict in plan.verdicts)
    look = [
        *(["the preview failed"] if plan.errors else []),
        *([f"{n} that can hurt"] if (n := len(list(dangers(plan)))) else []),
        *([f"{broken} against policy"] if broken else []),
    ]
    return [resources, gpus, month, ", ".join(look)]


def _marked(text: str) -> str:
    """With the titles of its parts in bold."""
    return re.sub(r"^(?!- )(.+:)$", r"**\1**", text, flags=re.MULTILINE)


def _diff(plan: Plan) -> Iterator[str]:
    sign = {CREATED: "+", DESTROYED: "-", UPDATED: "!"}
    for change in changed(plan):
        yield f"{sign.get(change.does, '!')} {change.does} {_line(change.title)}"
        for path, kind, old, new in differences(change):
            if old == new and old != SECRET:
                continue  # it only moved within its list
            forced = "   # forces the replacement" if kind.endswith("-replace") else ""
            yield f"      {_line(path)}: {_line(old)} -> {_line(new)}{forced}"


def _line(value: str) -> str:
    """Redacted before it is cut: half a digest would not be known for one."""
    text = redact(" ".join(value.split())).replace("```", "'''")
    return f"{text[:97]}..." if len(text) > 100 else text


def _fitting(parts: list[str]) -> str:
    """Within GitHub's limit: the longest folded parts go first, and what is still too long ends with a word about
    it."""
    parts = list(parts)
    while len(text := "\n\n".join(parts) + "\n") > MOST:
        folds = [part for part in parts if part.startswith(FOLD)]
        if not folds:
            note = "\n\n> Too long for a comment: the rest is in the job's log and in `make preview`.\n"
            return text[: MOST - len(note)].rpartition("\n")[0] + note
        longest = max(folds, key=len)
        parts[parts.index(longest)] = "> Too long for a comment: each changed resource is in the job's log."
    return text


# The commands


def _affected(base: str) -> list[str]:
    command = ["git", "diff", "--name-only", "--no-renames", "-z", f"{base}...HEAD"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    if done.returncode:
        raise CliError(f"git does not know {base}: fetch the base branch too (actions/checkout: fetch-depth: 0).")
    names = (path.name.split(".")[1] for path in CHECKOUT.glob("Pulumi.*.yaml"))
    return affected(filter(None, done.stdout.split("\0")), names)


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
        record.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tools.cli", "preview", name]
        failed = _shown(command, {**os.environ, **variables(name, record)}) or failed
        if not record.exists() or not record.stat().st_size:
            record.write_text("none")  # so that the comment says so
    return failed


def _shown(command: list[str], env: dict[str, str]) -> int:
    """Run it; what it says goes into the job's log, which a public repository shows to everybody."""
    pipe, both = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=env, stdout=pipe, stderr=both, text=True, errors="replace"
    ) as process:
        for line in cast("IO[str]", process.stdout):
            say(redact(line.rstrip("\n")))
    return process.returncode


def variables(environment: str, record: Path) -> dict[str, str]:
    """Of one preview. Each environment has a bucket of its own for its state (docs/how-to/state.md), so
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
