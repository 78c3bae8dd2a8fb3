"""This computer as a target: whose a process is, who holds a port, and what makes the computer unable."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from config.local import ports
from config.local.infra import LocalInfra
from config.model_service import TINY_RANDOM, FixedReplicas, Model
from config.serving import ServingSettings
from infra.contract import LocalHost
from infra.local import provision
from tests.harness.waiting import wait_until
from workloads.local import host_checks, processes, ray_api

MARK = f"rayllm-test-{os.getpid()}"
LISTEN = (
    "import socket,sys,time; s=socket.create_server(('127.0.0.1', int(sys.argv[1])));"
    "print('on', flush=True); time.sleep(60)"
)
DEAF = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
ORPHAN = (
    "import subprocess,sys; sleep=[sys.executable,'-c','import time; time.sleep(60)'];"
    "print(subprocess.Popen(sleep, start_new_session=True, stdout=subprocess.DEVNULL).pid, flush=True)"
)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    processes.terminate_stack(MARK, lambda _: None, patience_s=0.2)


def started(code: str, *arguments: str, mark: str = MARK) -> tuple[subprocess.Popen[str], str]:
    """A Python process with `mark` in its environment, and the first line it prints."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, processes.PROCESS_TAG_ENV_VAR: mark},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHost:
    """A site on which nothing is in the way."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(host_checks.platform, "machine", lambda: "x86_64")
    ray = tmp_path / ".venv-ray" / "bin" / "ray"
    ray.parent.mkdir(parents=True)
    ray.touch()
    made = provision.local_host(LocalInfra(kind="local", port_offset=2000), "test", tmp_path)
    return replace(made, process_tag=MARK, data_dir=tmp_path / "run", ports=replace(made.ports, serve=free_port()))


def obstacles(site: LocalHost, replicas: int = 0, source: str = TINY_RANDOM) -> list[str]:
    serving = ServingSettings(model=Model(id="m", source=source))
    asked = serving.model_copy(update={"replicas": FixedReplicas.model_construct(num_replicas=replicas)})
    return [issue.format() for issue in host_checks.find_issues(site, asked)]


def test_nothing_is_in_the_way_of_an_able_computer(site: LocalHost) -> None:
    assert obstacles(site) == []


def test_a_taken_port_is_named_with_its_holder_and_a_remedy(site: LocalHost) -> None:
    other, _ = started(LISTEN, str(site.ports.serve), mark="somebody else")
    (sentence,) = obstacles(site)
    other.kill()
    assert f"port {site.ports.serve} (serve) is taken by pid {other.pid} (" in sentence
    assert "infra.port_offset" in sentence


def test_a_second_stack_at_the_same_ports_is_told_in_one_sentence(site: LocalHost) -> None:
    site = replace(site, ports=replace(site.ports, dashboard=free_port()))
    first, _ = started(LISTEN, str(site.ports.serve), mark="somebody else")
    second, _ = started(LISTEN, str(site.ports.dashboard), mark="somebody else")
    (sentence,) = obstacles(site)
    first.kill()
    second.kill()
    assert f"port {site.ports.serve} (serve) is taken by pid {first.pid} (" in sentence
    assert "and 1 more ports of this stack" in sentence


def test_stacks_at_different_offsets_share_no_port() -> None:
    offsets = range(0, 2001, ports.PORT_BLOCK_SIZE)
    each = [vars(ports.plan_ports(LocalInfra(kind="local", port_offset=offset).port_offset)) for offset in offsets]
    used = [port for plan in each for value in plan.values() for port in ([value] if isinstance(value, int) else value)]
    assert len(used) == len(set(used))


def test_a_port_that_the_stack_itself_holds_is_no_obstacle(site: LocalHost) -> None:
    started(LISTEN, str(site.ports.serve))
    assert obstacles(site) == []


def test_too_little_memory_says_how_much_is_needed(site: LocalHost) -> None:
    (sentence,) = obstacles(site, replicas=10_000)
    assert "42000 GiB" in sentence
    assert "fewer replicas" in sentence


def test_another_kind_of_computer_gets_one_sentence(site: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_checks.platform, "machine", lambda: "arm64")
    (sentence,) = obstacles(site, replicas=10_000)
    assert "Linux on x86-64" in sentence
    assert "make preview STACK=dev" in sentence


def test_missing_packages_name_the_command_that_installs_them(site: LocalHost) -> None:
    (site.venv / "bin" / "ray").unlink()
    (sentence,) = obstacles(site)
    assert "make up" in sentence


def test_a_folder_of_somebody_else_is_not_emptied(site: LocalHost, tmp_path: Path) -> None:
    own = replace(site, data_dir=tmp_path / "own")
    (own.data_dir / own.process_tag).mkdir(parents=True)
    assert obstacles(own) == []
    file = tmp_path / "file"
    file.touch()
    for foreign in (tmp_path, file):
        (sentence,) = obstacles(replace(site, data_dir=foreign))
        assert sentence.startswith(f"infra.data_dir: {foreign} contains files of another program")
        assert "Choose an empty directory" in sentence


def test_the_folder_of_another_user_is_refused_even_if_it_is_empty(
    site: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user of the computer could put files there that the stack would run."""
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    assert obstacles(replace(site, data_dir=folder)) == []
    link.symlink_to(folder)
    (sentence,) = obstacles(replace(site, data_dir=link))
    assert "contains files of another program, or belongs to another user" in sentence
    monkeypatch.setattr(host_checks.os, "getuid", lambda: folder.stat().st_uid + 1)
    (sentence,) = obstacles(replace(site, data_dir=folder))
    assert "belongs to another user" in sentence


def test_the_token_of_the_head_is_its_owner_s(tmp_path: Path) -> None:
    ray_api.write_token(tmp_path)
    file = ray_api.token_file(tmp_path)
    first = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    with ray_api.client("http://127.0.0.1:1", tmp_path, timeout_s=1) as client:
        assert client.headers["authorization"] == f"Bearer {first}"
    ray_api.write_token(tmp_path)
    assert file.read_text() != first
    with ray_api.client("http://127.0.0.1:1", tmp_path / "ended", timeout_s=1) as client:
        assert "authorization" not in client.headers


@pytest.mark.parametrize("source", ["google/gemma-4-E2B-it", "weights"])
def test_a_model_that_is_no_directory_in_hugging_face_format_is_an_issue(site: LocalHost, source: str) -> None:
    (sentence,) = obstacles(site, source=source)
    assert sentence.startswith(f"serving.model.source: {source} is not a directory")
    assert "tiny-random" in sentence


def test_a_model_directory_has_a_config_and_its_weights_count_as_memory(site: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(2**40)  # sparse
    (sentence,) = obstacles(site, replicas=100, source=str(tmp_path))
    assert "102820 GiB of memory" in sentence


def test_too_little_disk_says_how_much_is_needed(site: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_checks.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**30))
    (sentence,) = obstacles(site)
    assert "2 GiB of disk, because 1.0 GiB are free" in sentence


def test_the_mark_tells_checkouts_and_stacks_apart() -> None:
    marks = {provision.process_tag(stack, Path(folder)) for stack in ("local", "second") for folder in ("/a", "/b")}
    assert len(marks) == 4
    assert provision.process_tag("local", Path("/a")) in marks


def test_a_child_that_outlived_its_parent_is_still_known() -> None:
    parent, orphan = started(ORPHAN)
    parent.wait()
    # the kernel shows no environment for a moment while the orphan starts its program
    wait_until("the orphan", lambda: [each.pid for each in processes.stack_processes(MARK)] == [int(orphan)])


def test_ending_a_stack_ends_its_processes_and_no_others() -> None:
    ours, _ = started(ORPHAN)
    theirs, _ = started("import time; print('on', flush=True); time.sleep(60)", mark="somebody else")
    ours.wait()
    processes.terminate_stack(MARK, lambda _: None)
    assert processes.stack_processes(MARK) == []
    assert theirs.poll() is None
    theirs.kill()


def test_a_process_that_does_not_listen_is_killed() -> None:
    deaf, _ = started(DEAF)
    processes.terminate_stack(MARK, lambda _: None, patience_s=0.5)
    assert deaf.wait(5) == -9


def test_a_title_written_over_the_environment_hides_nothing(tmp_path: Path) -> None:
    folder = tmp_path / MARK
    folder.mkdir()
    agent = subprocess.Popen(["ray::Agent", "60"], executable="/bin/sleep", cwd=folder, env={})
    for _ in range(50):
        if psutil.Process(agent.pid).cmdline()[:1] == ["ray::Agent"]:
            break
        time.sleep(0.02)
    assert [process.pid for process in processes.stack_processes(MARK)] == [agent.pid]
