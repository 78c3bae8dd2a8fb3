"""A bucket API on loopback: fake-gcs-server, built once from its Go module (bucket_module/go.mod).

Objects live in the server's memory. Google's clients find it through the variables of `BucketServer.env_vars`; URLs are
the same as on Google Cloud (`gs://BUCKET/FOLDER`).
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from rehearsal.control_plane.builds import GoProgram, ProgramBundle
from tests.harness.waiting import wait_until

LOOPBACK = "127.0.0.1"
BUCKET_SERVER = ProgramBundle(
    "bucket-server",
    "fake-gcs-server, a bucket API (about two minutes)",
    (GoProgram("fake-gcs-server", Path(__file__).parent / "bucket_module", "github.com/fsouza/fake-gcs-server"),),
)
_REQUEST = re.compile(r'\] \\"(?P<method>[A-Z]+) (?P<path>\S+) HTTP/')


@dataclass(frozen=True)
class BucketServer:
    """A running bucket API."""

    endpoint: str
    """URL, such as http://127.0.0.1:43211."""
    credentials_file: Path
    """Key of a service account that does not exist, in Google's format: Google's clients sign with it locally."""
    log: Path

    @property
    def env_vars(self) -> Mapping[str, str]:
        """Variables with which pyarrow, and so Ray, uses this server instead of Google Cloud.

        Source: google-cloud-cpp, google/cloud/storage/client.cc (the endpoint) and google/cloud/internal/credentials.
        """
        return {
            "CLOUD_STORAGE_EMULATOR_ENDPOINT": self.endpoint,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.credentials_file),
        }

    def upload(self, folder: Path, bucket: str, prefix: str) -> str:
        """Upload the files of `folder` and its subfolders. Create the bucket. Return `gs://BUCKET/PREFIX`."""
        with httpx2.Client(base_url=self.endpoint, timeout=60, trust_env=False) as client:
            created = client.post("/storage/v1/b", params={"project": "test"}, json={"name": bucket})
            assert created.status_code in (200, 409), created.text
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                name = f"{prefix}/{file.relative_to(folder)}"
                parameters = {"uploadType": "media", "name": name}
                with file.open("rb") as content:
                    client.post(
                        f"/upload/storage/v1/b/{bucket}/o", params=parameters, content=content
                    ).raise_for_status()
        return f"gs://{bucket}/{prefix}"

    def delete(self, bucket: str, name: str) -> None:
        """Delete one object."""
        url = f"{self.endpoint}/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
        httpx2.delete(url, trust_env=False).raise_for_status()

    def requests(self) -> list[tuple[str, str]]:
        """Return the method and the path with its query of every request so far."""
        return [(found["method"], found["path"]) for found in _REQUEST.finditer(self.log.read_text())]


@contextmanager
def running(folder: Path) -> Iterator[BucketServer]:
    """Run a bucket API with no bucket. `folder` receives its log and key. Raises `CliError` if Go is missing."""
    program = BUCKET_SERVER.build() / "fake-gcs-server"
    folder.mkdir(parents=True, exist_ok=True)
    address = f"{LOOPBACK}:{_free_port()}"
    server = BucketServer(f"http://{address}", folder / "credentials.json", folder / "bucket-server.log")
    server.credentials_file.write_text(_service_account_key())
    command = [str(program), "-scheme", "http", "-host", LOOPBACK, "-port", address.rpartition(":")[2]]
    command += ["-backend", "memory", "-public-host", address, "-external-url", server.endpoint]
    with server.log.open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until("the bucket API answers", lambda: process.poll() is not None or _answers(server), interval_s=0.1)
        assert process.poll() is None, server.log.read_text()
        yield server
    finally:
        process.terminate()
        process.wait()


def _answers(server: BucketServer) -> bool:
    try:
        return httpx2.get(f"{server.endpoint}/_internal/healthcheck", trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return listener.getsockname()[1]


def _service_account_key() -> str:
    """Return a key in Google's format. The account does not exist, and nothing outside loopback accepts the key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "test",
        "private_key_id": "test",
        "private_key": key.decode(),
        "client_email": "test@test.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "http://127.0.0.1:1/token",
    }
    return json.dumps(account)
