"""The comment on a pull request: its contents, its redaction, and its place."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from paths import CHECKOUT
from tests.unit.imports import imported_files
from tests.unit.listening import served
from tests.unit.test_preview import RECORDS
from tools.preview import events, pull_request, redact
from tools.preview.pull_request import MARKER
from tools.preview.render import summary

NUMBER = "100000000003"
DIGEST = "a1b2c3d4e5f60718" * 4
ACCOUNT = f"prod-nodes@example.iam.gserviceaccount.com, service-{NUMBER}@gcp-sa-x.iam.gserviceaccount.com"
KEY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
TELLING = {
    "member": f"serviceAccount:{ACCOUNT}",
    "pool": f"projects/{NUMBER}/locations/global",
    "image": f"rayproject/ray-llm@sha256:{DIGEST}",
    "hash": f"{'x' * 80} {DIGEST}",
    "note": "ya29.a0AfB_byC-1234567890 01AB23-CD45EF-678901 eyJhbGciOiJI.eyJzdWIiOiIx.c2ln hf_abcdefghijklmnop",
    "header": "Authorization: Bearer s3cr3t-s3cr3t, https://robot:p4ssw0rd@localhost/x",
    "config": f"certificate-authority-data: LS0tLS1CRUdJTiBDRVJU\n-----BEGIN PRIVATE KEY-----\n{KEY}\nc2hvcnQ=\n",
    "line": KEY,
    "written": 'HF_TOKEN: "aaaabbbbcccc", api_key=ddddeeeeffff',
    "reached": "34.72.119.5, 2600:1901:0:1234::5, 8.8.8.8/32",
    "password": "hunter2",
    "kubeconfig": "apiVersion: v2, clusters: []",
}
PRIVATE = (
    *(
        NUMBER,
        DIGEST[:12],
        "gserviceaccount",
        "ya29.a0AfB_byC",
        "01AB23-CD45EF-678901",
        "hunter2",
        "eyJhbGciOi",
        "hf_a",
    ),
    *(
        "s3cr3t",
        "p4ssw0rd",
        "LS0tLS1",
        KEY[:16],
        "aaaabbbb",
        "ddddeeee",
        "34.72",
        "2600:",
        "8.8.8.8",
        "clusters",
        "c2hvcnQ",
    ),
)


def record(**inputs: Any) -> str:
    """Return a record of an update with these `inputs`, an error and a policy violation that repeat them."""
    said = " ".join(value for key, value in inputs.items() if key not in ("password", "kubeconfig"))
    metadata = {
        "op": "update",
        "urn": f"urn:pulumi:prod::rayllm::gcp:x/y:Y::of-{NUMBER}",
        "type": "gcp:x/y:Y",
        "old": {"inputs": {}},
        "new": {"inputs": inputs},
        "detailedDiff": {key: {"diffKind": "add"} for key in inputs},
    }
    policy = {
        "policyName": "gpu-bounded",
        "enforcementLevel": "mandatory",
        "message": said,
        "resourceUrn": f"a::b::of-{NUMBER}",
    }
    events = [
        {"resourcePreEvent": {"metadata": metadata}},
        {"diagnosticEvent": {"severity": "error", "message": said}},
        {"policyEvent": policy},
    ]
    return "".join(json.dumps(event) + "\n" for event in events)


def comment(text: str) -> str:
    return pull_request.render({"prod": events.read(text)})


def test_no_account_number_digest_or_credential_is_in_the_comment() -> None:
    text = comment(record(**TELLING))
    for private in PRIVATE:
        assert private not in text
    assert "of-\\[number\\]" in text
    assert "image: (none) -> rayproject/ray-llm@sha256:[digest]" in text


def test_redaction_leaves_costs_dates_versions_and_private_addresses_alone() -> None:
    kept = (
        "0 to 115,720 USD on 2026-09-01, 1.32.2-gke.1652000, us-central1, nvidia-b200, 10.210.0.0/15, 0.0.0.0/0, "
        "max_tokens: 4096, tokenizer: facebook/opt-125m, gcp:compute/address:Address, fd20::1, 12:30:45, 123456789"
    )
    assert redact.redact(kept) == kept.replace("123456789", "[number]")


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_comment_holds_the_same_text_as_the_terminal(path: Path) -> None:
    preview = events.read(path.read_text())
    text = pull_request.render({"example": preview})
    assert redact.escape_markdown(summary(preview, "example")).rstrip() in text.replace("**", "")
    assert not re.search(r"\b\d{12}\b|gserviceaccount|[0-9a-f]{32}", text)


def test_policies_come_before_the_changes_and_the_diff_is_folded() -> None:
    text = comment(record(size="4"))
    assert text.index("mandatory (\\`up\\` fails): gpu-bounded") < text.index("Changes:")
    assert "<details><summary>Every changed resource of prod</summary>" in text
    assert text.startswith(MARKER)


HOSTILE = "x```\n</details>\n# @everyone <script> \\`y` ![z](http://example.com) #12 | **a**"


def test_no_name_or_value_breaks_the_fold_mentions_a_person_or_creates_markup() -> None:
    inputs = {"a": HOSTILE, "b": HOSTILE[:30]}
    text = comment(record(**inputs).replace(f"of-{NUMBER}", json.dumps(HOSTILE)[1:-1]))
    assert text.count("```") == 2
    outside = re.sub(r"```diff.*?```", "", text, flags=re.DOTALL)
    assert outside.count("</details>") == 1
    assert "#\u200b12" in outside, "or it links to an issue, and that one to this pull request"
    marks = re.sub(r"\\[\\`*_\[\]~#>|]", "", outside)  # what is escaped is text
    for mark in ("<script>", "@everyone", "`", "![", "#12", "a**"):
        assert mark not in marks, mark
    assert [line for line in outside.splitlines() if line.startswith("#")] == [
        "## Preview of this pull request",
        "### prod",
    ]


def test_an_environment_name_creates_no_markup() -> None:
    name = "a<b>_c_"
    text = pull_request.render({name: events.read(record(size="4"))})
    assert "### a&lt;b\\>\\_c\\_" in text
    assert "<summary>Every changed resource of a&lt;b&gt;_c_</summary>" in text


def named(step: int, **inputs: Any) -> str:
    """Return a record of another resource."""
    return record(**inputs).replace(f"of-{NUMBER}", f"of-{step}")


def test_a_long_comment_loses_its_longest_fold_first() -> None:
    long = "".join(named(i, **{f"a{j}": "x y " * 9 for j in range(20)}) for i in range(90))
    previews = {"dev": events.read(record(size="4")), "prod": events.read(long)}
    text = pull_request.render(previews)
    assert len(text) <= pull_request.MAX_COMMENT
    assert "Every changed resource of dev" in text
    assert "Every changed resource of prod" not in text
    assert text.count("Too long for a comment. The job's log shows each") == 1
    assert "### prod" in text


def test_a_comment_that_is_long_without_folds_is_cut_and_says_so() -> None:
    text = comment("".join(named(i, a=f"{i} " + "x y " * 100) for i in range(400)))
    assert len(text) <= pull_request.MAX_COMMENT
    assert text.endswith("The job's log and `make preview` show the rest.\n")
    assert text.startswith(MARKER)


def test_the_table_has_a_row_for_each_environment() -> None:
    at = {path.stem: events.read(path.read_text()) for path in RECORDS}
    text = pull_request.render({"prod": at["protection-off"], "dev": at["more-spot-nodes"], "staging": "it ended."})
    rows = [line for line in text.splitlines() if line.startswith("| **")]
    assert [row.split(" | ")[0] for row in rows] == ["| **dev**", "| **prod**", "| **staging**"]
    assert "| 1 updated | 0 to 4 -\\> 0 to 8 | 0 to 1,495 USD -\\> 0 to 2,991 USD |" in rows[0]
    assert "1 destructive" in rows[1]
    assert "no preview" in rows[2]


@pytest.mark.parametrize(
    ("paths", "environments"),
    [
        (["docs/reference/settings.md", "tests/unit/x.py", "README.md", "infra/README.md"], []),
        (["Pulumi.dev.yaml"], ["dev"]),
        (["Pulumi.local.yaml"], []),
        (["config/google/capacity.py"], ["dev", "prod"]),
        (["config/loader.py"], ["dev", "prod"]),
        (["locks/program.txt"], ["dev", "prod"]),
        (["Pulumi.yaml", "docs/x.md"], ["dev", "prod"]),
    ],
)
def test_affected_environments(paths: list[str], environments: list[str]) -> None:
    assert pull_request.affected_stacks(paths, ["prod", "dev", "local"]) == environments


@pytest.mark.parametrize("start", ["__main__.py", "policies/__main__.py", "tools/cli.py", "tools/preview/render.py"])
def test_every_package_that_a_preview_imports_affects_every_environment(start: str) -> None:
    files = imported_files(CHECKOUT / start)
    assert len(files) > 3
    for file in files:
        path = str(file.relative_to(CHECKOUT))
        assert pull_request.affected_stacks([path], ["prod", "dev"]) == ["dev", "prod"], path


@dataclass
class GitHub:
    """A replacement of GitHub's REST API: comments of one pull request."""

    comments: list[dict[str, Any]] = field(default_factory=list)
    refuses: int | None = None
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """Serve it on loopback, with the variables of a job on pull request 7 and one recorded preview."""
    state = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = int(self.path.rpartition("=")[2])
            self.answer(state.comments[100 * (page - 1) : 100 * page])

        def do_POST(self) -> None:
            self.answer({}, lambda body: state.comments.append(own(len(state.comments) + 1, body)))

        def do_PATCH(self) -> None:
            number = int(self.path.rpartition("/")[2])
            self.answer({}, lambda body: next(c for c in state.comments if c["id"] == number).update(body=body))

        def answer(self, what: object, then: Any = lambda body: None) -> None:
            state.asked.append(f"{self.command} {self.path}")
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(state.refuses or 200)
            self.end_headers()
            if not state.refuses:
                then(json.loads(sent)["body"] if sent else "")
                self.wfile.write(json.dumps(what).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 7}}))
    (tmp_path / f"prod{pull_request.RECORD_SUFFIX}").write_text(record(size="4"))
    for name, value in {
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_TOKEN": "t",
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }.items():
        monkeypatch.setenv(name, value)
    with served(HTTPServer(("127.0.0.1", 0), Handler)) as server:
        monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{server.server_port}")
        yield state


def own(number: int, body: str, kind: str = "Bot") -> dict[str, Any]:
    return {"id": number, "body": body, "user": {"type": kind}}


def test_a_later_run_updates_the_first_comment(github: GitHub, tmp_path: Path) -> None:
    assert pull_request.post(str(tmp_path)) == 0
    assert pull_request.post(str(tmp_path)) == 0
    assert [c["body"].startswith(MARKER) for c in github.comments] == [True]
    assert github.asked[-1] == "PATCH /repos/o/r/issues/comments/1"


def test_a_persons_comment_is_never_overwritten(github: GitHub, tmp_path: Path) -> None:
    github.comments = [own(1, f"{MARKER} mine", "User"), own(2, f"> {MARKER} quoted")]
    pull_request.post(str(tmp_path))
    assert [c["body"] for c in github.comments[:2]] == [f"{MARKER} mine", f"> {MARKER} quoted"]
    assert len(github.comments) == 3


def test_the_comment_is_found_on_a_later_page(github: GitHub, tmp_path: Path) -> None:
    github.comments = [*(own(i, "words") for i in range(1, 151)), own(151, f"{MARKER} old")]
    pull_request.post(str(tmp_path))
    assert len(github.comments) == 151
    assert "old" not in github.comments[-1]["body"].splitlines()[0]


@pytest.mark.parametrize("broken", ["no token", "403", "nobody answers"])
def test_without_the_right_to_comment_the_text_goes_to_the_job_summary(
    github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    if broken == "no token":
        monkeypatch.delenv("GITHUB_TOKEN")
    elif broken == "403":
        github.refuses = 403
    else:
        monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    assert pull_request.post(str(tmp_path)) == 0
    assert (tmp_path / "summary.md").read_text().startswith(MARKER)
    assert github.comments == []


def test_a_missing_preview_is_reported(tmp_path: Path) -> None:
    (tmp_path / f"prod{pull_request.RECORD_SUFFIX}").write_text("none")
    assert "No preview" in pull_request.render(pull_request.read_previews(tmp_path))


def test_the_output_of_a_preview_is_redacted_in_the_job_log(capsys: pytest.CaptureFixture[str]) -> None:
    said = f"print('a {ACCOUNT}'); import sys; print('b {NUMBER}', file=sys.stderr); sys.exit(3)"
    assert pull_request._run_redacted([sys.executable, "-c", said], dict(os.environ)) == 3
    shown = capsys.readouterr().out
    assert sorted(shown.splitlines()) == ["a [account], [account]", "b [number]"]


def test_moved_files_and_names_that_git_quotes_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    (tmp_path / "infra").mkdir()
    (tmp_path / "Pulumi.prod.yaml").touch()
    (tmp_path / "infra" / "moves.py").write_text("words\n" * 20)
    git("add", ".")
    git("commit", "--message=a")
    monkeypatch.setattr(pull_request, "CHECKOUT", tmp_path)
    git("switch", "--create=moved")
    git("mv", "infra/moves.py", "moves.md")
    git("commit", "--message=b")
    assert pull_request._affected("main") == ["prod"]
    git("switch", "--create=quoted", "main")
    (tmp_path / "infra" / "ü.py").touch()
    git("add", ".")
    git("commit", "--message=c")
    assert pull_request._affected("main") == ["prod"]


WORKFLOW = CHECKOUT / ".github" / "workflows" / "preview.yml"


def test_the_workflow_pins_its_actions_and_has_minimal_permissions() -> None:
    text = WORKFLOW.read_text()
    uses = re.findall(r"uses: (.*)", text)
    assert uses
    for each in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+.*", each), each
    workflow = yaml.safe_load(text)
    assert workflow[True] == {"pull_request": None}, "`on`, which YAML reads as true"
    assert workflow["permissions"] == {}
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"contents": "read", "id-token": "write", "pull-requests": "write"}
    assert "secrets." not in text


def test_the_workflow_calls_existing_functions() -> None:
    text = WORKFLOW.read_text()
    modules = re.findall(r"python -m (\S+)", text)
    functions = re.findall(r"from (\S+) import (\w+); \2\.(\w+)\(\)", text)
    assert modules
    assert functions
    for module in modules:
        importlib.import_module(module)
    for package, module, function in functions:
        assert callable(getattr(importlib.import_module(f"{package}.{module}"), function))


def test_a_record_of_an_earlier_run_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"prod{pull_request.RECORD_SUFFIX}").write_text(record(size="4"))
    monkeypatch.setattr(pull_request, "_affected", lambda _: ["prod"])
    monkeypatch.setattr(pull_request, "_run_redacted", lambda *_: 1)
    assert pull_request.preview(str(tmp_path)) == 1
    assert isinstance(pull_request.read_previews(tmp_path)["prod"], str)


def test_the_comment_of_a_preview_without_credentials_says_so() -> None:
    assert "ran without credentials" in pull_request.render({}, offline=True)


def test_each_environment_is_previewed_against_its_own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "gs://team-{environment}-states")
    assert pull_request.preview_env_vars("dev", tmp_path)["PULUMI_BACKEND_URL"] == "gs://team-dev-states"
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    assert "PULUMI_BACKEND_URL" not in pull_request.preview_env_vars("dev", tmp_path)
