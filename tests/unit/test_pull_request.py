"""The comment on a pull request: what is in it, what must not be, and where it goes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_summary import RECORDS
from tools import pull_request, summary
from tools.pull_request import MARKER

NUMBER = "100000000003"
DIGEST = "a1b2c3d4e5f60718" * 4
ACCOUNT = f"prod-nodes@example.iam.gserviceaccount.com, service-{NUMBER}@gcp-sa-x.iam.gserviceaccount.com"
PRIVATE = (NUMBER, DIGEST[:12], "gserviceaccount", "ya29.a0AfB_byC", "01AB23-CD45EF-678901", "hunter2", "eyJhbGciOi")
TELLING = {
    "member": f"serviceAccount:{ACCOUNT}",
    "pool": f"projects/{NUMBER}/locations/global",
    "image": f"rayproject/ray-llm@sha256:{DIGEST}",
    "hash": f"{'x' * 80} {DIGEST}",
    "note": "ya29.a0AfB_byC-1234567890 01AB23-CD45EF-678901 eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
    "password": "hunter2",
}


def record(**inputs: Any) -> str:
    """Of an update that shows `inputs`, with an error and a policy that repeat them."""
    said = " ".join(value for key, value in inputs.items() if key != "password")
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
    return pull_request.render({"prod": summary.read(text)})


def test_no_account_number_digest_or_credential_is_in_the_comment() -> None:
    text = comment(record(**TELLING))
    for private in PRIVATE:
        assert private not in text
    assert "of-\\[number\\]" in text
    assert "image: nothing -> rayproject/ray-llm@sha256:[digest]" in text


def test_redaction_leaves_costs_dates_and_versions_alone() -> None:
    kept = "0 to 115,720 USD on 2026-09-01, 1.32.2-gke.1652000, us-central1, nvidia-b200, 10.210.0.0/15, 123456789"
    assert pull_request.redact(kept) == kept.replace("123456789", "[number]")


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_comment_holds_the_same_text_as_the_terminal(path: Path) -> None:
    plan = summary.read(path.read_text())
    text = pull_request.render({"example": plan})
    assert pull_request.safe(summary.summary(plan, "example")).rstrip() in text
    assert not re.search(r"\b\d{12}\b|gserviceaccount|[0-9a-f]{32}", text)


def test_policies_come_before_the_changes_and_the_diff_is_folded() -> None:
    text = comment(record(size="4"))
    assert text.index("mandatory: gpu-bounded") < text.index("What changes:")
    assert "<details><summary>Every changed resource of prod</summary>" in text
    assert text.startswith(MARKER)


def test_a_value_cannot_end_the_fold_mention_anybody_or_make_markup() -> None:
    text = comment(record(a="```\n</details> @everyone <script>", b="| x | `y`"))
    assert text.count("```") == 2
    outside = re.sub(r"```diff.*?```", "", text, flags=re.DOTALL)
    assert outside.count("</details>") == 1
    assert "<script>" not in outside
    assert "@everyone" not in outside


def test_a_long_comment_is_cut_and_says_so() -> None:
    text = comment("".join(record(**{f"a{i}": "x y " * 40}) for i in range(1200)))
    assert len(text) <= pull_request.MOST
    assert "Too long for a comment" in text
    assert text.startswith(MARKER)


@pytest.mark.parametrize(
    ("paths", "environments"),
    [
        (["docs/settings.md", "tests/unit/x.py", "README.md", "infra/README.md"], []),
        (["Pulumi.dev.yaml"], ["dev"]),
        (["Pulumi.local.yaml"], []),
        (["infra/capacity.py"], ["dev", "prod"]),
        (["environment.py"], ["dev", "prod"]),
        (["locks/program.txt"], ["dev", "prod"]),
        (["Pulumi.yaml", "docs/x.md"], ["dev", "prod"]),
    ],
)
def test_environments_that_a_change_can_touch(paths: list[str], environments: list[str]) -> None:
    assert pull_request.affected(paths, ["prod", "dev", "local"]) == environments


@dataclass
class GitHub:
    """A stand-in for GitHub's REST API: comments of one pull request."""

    comments: list[dict[str, Any]] = field(default_factory=list)
    refuses: int | None = None
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """On loopback, with the environment of a job on pull request 7, and one recorded preview."""
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

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 7}}))
    (tmp_path / f"prod{pull_request.RECORD}").write_text(record(size="4"))
    for name, value in {
        "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_TOKEN": "t",
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }.items():
        monkeypatch.setenv(name, value)
    yield state
    server.shutdown()
    server.server_close()


def own(number: int, body: str, kind: str = "Bot") -> dict[str, Any]:
    return {"id": number, "body": body, "user": {"type": kind}}


def test_the_first_comment_is_made_and_the_next_takes_its_place(github: GitHub, tmp_path: Path) -> None:
    assert pull_request.post(str(tmp_path)) == 0
    assert pull_request.post(str(tmp_path)) == 0
    assert [c["body"].startswith(MARKER) for c in github.comments] == [True]
    assert github.asked[-1] == "PATCH /repos/o/r/issues/comments/1"


def test_a_persons_comment_is_never_written_over(github: GitHub, tmp_path: Path) -> None:
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
def test_where_it_may_not_comment_the_text_is_in_the_jobs_summary(
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


def test_a_preview_without_a_record_is_said(tmp_path: Path) -> None:
    (tmp_path / f"prod{pull_request.RECORD}").write_text("none")
    assert "There is no preview" in pull_request.render(pull_request.previews(tmp_path))


def test_without_credentials_it_says_what_that_means() -> None:
    assert "Planned without credentials" in pull_request.render({}, offline=True)


def test_each_environment_is_previewed_against_its_own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "gs://team-{environment}-states")
    assert pull_request.variables("dev", tmp_path)["PULUMI_BACKEND_URL"] == "gs://team-dev-states"
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    assert "PULUMI_BACKEND_URL" not in pull_request.variables("dev", tmp_path)
