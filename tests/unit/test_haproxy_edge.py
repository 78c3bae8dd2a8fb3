"""What the edge makes of the configuration that each supported Ray writes, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import haproxy_affinity
import haproxy_config
import haproxy_wrapper
import pytest
from haproxy_config import UnknownConfig, parse, words
from haproxy_edge import EdgeSettings, edit
from packaging.version import Version

import versions
from config.data_path import DataPath
from config.model_service import ModelService
from config.routes import CLOSED_ROUTES, PUBLIC_ROUTES, SERVED_ROUTES, public_paths
from tests.harness.haproxy_templates import CASES, GOLDEN, difference, edited
from workloads import edge_settings
from workloads.edge_settings import EDGE_FOLDER
from workloads.kubernetes.namespace import EDGE_SCRIPTS

RECORDED = sorted(GOLDEN.glob("*/*.cfg"))
ROUTER = (GOLDEN / versions.RAY / "router.cfg").read_text()
REPLICAS = (GOLDEN / versions.RAY / "replicas.cfg").read_text()


def service(**values: Any) -> ModelService:
    return ModelService.model_validate({"model": {"id": "m", "source": "s"}, **values})


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_the_changes_are_the_recorded_ones(file: Path) -> None:
    assert difference(file.read_text(), file.stem) == file.with_suffix(".diff").read_text()


def test_every_template_that_is_accepted_is_recorded() -> None:
    accepted = {version for row in haproxy_wrapper.TEMPLATES.values() for version in row.split(", ")}
    recorded = {file.parent.name for file in RECORDED}
    assert recorded <= accepted
    assert {row.split(", ")[0] for row in haproxy_wrapper.TEMPLATES.values()} == recorded
    assert {versions.RAY_FLOOR, versions.RAY} <= accepted
    assert min(map(Version, accepted)) == Version(versions.RAY_FLOOR)
    assert {file.stem for file in RECORDED} == set(CASES)


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_on_the_local_host_every_listener_is_on_loopback(file: Path) -> None:
    text = edited(file.read_text(), file.stem, loopback=True)
    binds = [found[1] for section in parse(text).sections for _, found in section.directives() if found[0] == "bind"]
    assert len(binds) == 3
    assert {each.partition(":")[0] for each in binds} == {"127.0.0.1"}


def test_a_text_that_is_not_changed_is_written_as_it_was() -> None:
    assert parse(ROUTER).text() == ROUTER


def test_words_keep_quotes_escapes_and_drop_comments() -> None:
    line = r'    http-request return string "a \" # b" hdr x a\ b \# # comment "'
    assert words(line) == ["http-request", "return", "string", r'"a \" # b"', "hdr", "x", r"a\ b", r"\#"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("frontend http_frontend", "frontend other", "0 sections `frontend http_frontend` instead of one"),
        ("acl routes path -i /-/routes", "acl routes path -i /routes", "0 lines `acl routes path -i /-/routes`"),
        ("stats socket", "stats sock", "0 lines `stats socket` instead of one"),
        ("backend default_backend", "cache default_backend", "begins no section that is known"),
        ("bind *:8404", "bind /run/stats.sock", "listens on no TCP port"),
    ],
)
def test_a_configuration_of_another_form_is_refused(old: str, new: str, problem: str) -> None:
    assert old in ROUTER
    with pytest.raises(UnknownConfig, match=problem):
        edit(parse(ROUTER.replace(old, new)), EdgeSettings(loopback=True))


# The wrapper, as Ray runs it.


def ray_folder(tmp_path: Path, template: str) -> Path:
    """Create a package `ray` with this template."""
    package = tmp_path / "site" / "ray" / "serve" / "_private"
    package.mkdir(parents=True)
    (tmp_path / "site" / "ray" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "haproxy_templates.py").write_text(template)
    return tmp_path / "site"


def wrapped(
    tmp_path: Path, text: str, *, known: bool, **settings: Any
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Run the wrapper as Ray does, from a folder with the files of the ConfigMap only, with a HAProxy that prints its
    arguments. `known`: the template is one that it knows."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name in EDGE_SCRIPTS:
        shutil.copy(EDGE_FOLDER / name, scripts)
    site, haproxy, config = ray_folder(tmp_path, "TEMPLATE"), tmp_path / "haproxy", tmp_path / "haproxy.cfg"
    if known:
        wrapper = scripts / "haproxy_wrapper.py"
        digest = hashlib.sha256(b"TEMPLATE").hexdigest()
        row = f'TEMPLATES = {{\n    "{digest}": "2.60.0",'
        wrapper.write_text(wrapper.read_text().replace("TEMPLATES = {", row, 1))
    haproxy.write_text('#!/bin/sh\necho "$@"\n')
    haproxy.chmod(0o755)
    config.write_text(text)
    run = subprocess.run(
        [sys.executable, scripts / "haproxy_wrapper.py", "-db", "-f", config, "-sf", "7"],
        env={"PYTHONPATH": str(site), edge_settings.SETTINGS: json.dumps({"binary": str(haproxy), **settings})},
        capture_output=True,
        text=True,
    )
    return config, run


def test_the_wrapper_edits_the_file_and_becomes_haproxy(tmp_path: Path) -> None:
    settings = edge_settings.settings(service(), "k", loopback=True)
    del settings["binary"]
    config, run = wrapped(tmp_path, ROUTER, known=True, **settings)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.split() == ["-db", "-f", str(config), "-sf", "7"]
    assert "acl rayllm_post path /classify" in config.read_text()
    assert config.stat().st_mode & 0o777 == 0o600


def test_an_unknown_template_starts_no_haproxy(tmp_path: Path) -> None:
    config, run = wrapped(tmp_path, ROUTER, known=False)
    assert (run.returncode, run.stdout) == (haproxy_wrapper.EX_CONFIG, "")
    assert "is not the template of a Ray version that this stack was tested with (2.56.1, 2.57.0" in run.stderr
    assert config.read_text() == ROUTER


def test_a_configuration_that_cannot_be_edited_starts_no_haproxy(tmp_path: Path) -> None:
    config, run = wrapped(tmp_path, "frontend http\n    bind *:80\n", known=True)
    assert (run.returncode, run.stdout) == (haproxy_wrapper.EX_CONFIG, "")
    assert run.stderr.startswith("HAProxy does not start, because its configuration is unknown: it has 0 sections")
    assert config.read_text().startswith("frontend http\n    bind *:80")


# Affinity.


def ids(text: str) -> dict[str, str]:
    backend = parse(text).section("backend", "http-llm")
    servers = [found for _, found in backend.directives() if found[0] == "server"]
    return {found[1]: found[found.index("id") + 1] for found in servers}


def test_a_server_keeps_its_place_in_the_hash_when_another_one_goes() -> None:
    both = ids(edited(REPLICAS, "replicas"))
    gone = next(line for line in REPLICAS.splitlines() if "server SERVE_REPLICA" in line)
    one = ids(edited(REPLICAS.replace(gone + "\n", ""), "replicas"))
    assert len(both) == 3
    assert one == {name: both[name] for name in one}
    assert len(set(both.values())) == 3


def test_servers_with_one_digest_get_two_ids() -> None:
    used = {haproxy_affinity.server_id("a", set())}
    assert haproxy_affinity.server_id("a", used) not in used


@pytest.mark.parametrize("router", ["session_hash", "prompt_hash"])
def test_a_hash_is_written_for_back_ends_with_replicas_only(router: str) -> None:
    settings = edge_settings.settings(
        service(data_path="least_connections", request_router=router), "k", loopback=False
    )
    settings.pop("binary")
    config = parse(REPLICAS)
    edit(config, EdgeSettings(**settings))
    hashed = [section.name for section in config.sections if section.has("balance", "hash")]
    assert hashed == ["http-llm"]


# Routes.


def test_every_served_route_is_open_or_closed_with_a_reason() -> None:
    served = {path for kinds in SERVED_ROUTES.values() for paths in kinds.values() for path in paths}
    assert served == set(PUBLIC_ROUTES) & served | set(CLOSED_ROUTES)
    assert not set(PUBLIC_ROUTES) & set(CLOSED_ROUTES)
    assert all(CLOSED_ROUTES.values())


@pytest.mark.parametrize("path", DataPath)
def test_what_is_open_follows_from_the_data_path(path: DataPath) -> None:
    found = edge_settings.settings(service(data_path=path), "k", loopback=False)
    direct = path in (DataPath.DIRECT_STREAMING, DataPath.LEAST_CONNECTIONS)
    assert ("/v1/messages" in found["post"]) is direct
    assert found["post"] == public_paths("POST", direct=direct)
    assert found["get"][:2] == ["/v1/models", "/v1/models/"]
    assert not {"/metrics", "/tokenize", "/ping", "/docs"} & {*found["post"], *found["get"]}


@pytest.mark.parametrize(("path", "probe"), [("direct_streaming", "/ping"), ("haproxy", "/detokenize")])
def test_probes_are_open_to_the_node_only(path: str, probe: str) -> None:
    settings = edge_settings.settings(service(data_path=path), "k", loopback=False)
    assert settings["probes"] == [probe]
    del settings["binary"]
    config = parse(REPLICAS)
    edit(config, EdgeSettings(**settings))
    text = config.text()
    assert f"acl rayllm_probe path {probe}" in text
    assert "http-request set-var(txn.rayllm_probe) bool(true) if rayllm_probe rayllm_own_node" in text


def test_every_file_of_the_edge_is_in_the_config_map() -> None:
    assert sorted(file.name for file in EDGE_FOLDER.glob("*.py")) == sorted(EDGE_SCRIPTS)
    assert haproxy_config.SECTIONS
