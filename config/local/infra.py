"""The `infra` block with `kind: local`: the stack runs on the local host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from config.base import Settings, matches
from config.issues import Rule
from config.local import ports
from paths import CHECKOUT

# Unix sockets are below the directory. HAProxy limits their paths to 97 characters, and Ray creates
# DATA_DIR/<node id, 56 digits>/metrics.sock; Ray's own longest socket path has 68 characters below it, of 107.
MAX_DATA_DIR_LENGTH = 97 - len("/" + 56 * "0" + "/metrics.sock")

DATA_DIR_TOO_LONG = Rule(
    "infra.local.data-dir-too-long",
    problem="{path} has {length} characters",
    reason="Ray and HAProxy create Unix sockets below it, and the length of their paths has a limit",
    fix="Write a directory of at most {limit} characters, such as /tmp/rayllm",
)
DATA_DIR_RELATIVE = Rule(
    "infra.local.data-dir-relative",
    problem="{path} is a relative path",
    reason="Pulumi and Ray run in different working directories",
    fix="Write an absolute path",
)
CREDENTIALS_FILE_RELATIVE = Rule(
    "infra.local.credentials-file-relative",
    problem="{path} is a relative path",
    reason="Pulumi and Ray run in different working directories",
    fix="Write an absolute path",
)
DATA_DIR_NOT_OWN = Rule(
    "infra.local.data-dir-not-own",
    problem="{path} contains {content}",
    reason="the stack empties the directory when it starts and deletes it when it stops",
    fix="Write a directory that no other program uses, such as /tmp/rayllm",
)


class BucketAccess(Settings):
    """How Ray reads Google Cloud Storage buckets on the local host. Its processes inherit nothing from the shell."""

    credentials_file: Path | None = None
    """Absolute path of a credentials file in Google's format: the one that `gcloud auth application-default login`
    writes, or a key of a service account. null: public buckets only."""
    endpoint: (
        Annotated[
            str, matches(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?", "http://HOST:PORT or https://HOST, without a path")
        ]
        | None
    ) = None
    """URL of another server with Cloud Storage's API, such as fake-gcs-server; null for Google Cloud."""

    @field_validator("credentials_file")
    @classmethod
    def _check_credentials_file(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_absolute():
            raise CREDENTIALS_FILE_RELATIVE.error(path=path)
        return path

    @property
    def env_vars(self) -> dict[str, str]:
        """Environment variables that Google's client library reads (google-cloud-cpp, which pyarrow contains)."""
        values = {
            "CLOUD_STORAGE_EMULATOR_ENDPOINT": self.endpoint,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.credentials_file) if self.credentials_file else None,
        }
        return {name: value for name, value in values.items() if value is not None}


class LocalInfra(Settings):
    """The `infra` block with `kind: local`: the stack runs on the local host, without cloud, GPU and containers."""

    kind: Literal["local"]
    """The local host."""
    port_offset: int = Field(default=0, ge=0, le=10 * ports.PORT_BLOCK_SIZE, multiple_of=ports.PORT_BLOCK_SIZE)
    """Offset of every port (8000 and 8265 among them): 200 for a second stack on the same host, 400 for a third."""
    data_dir: Path | None = None
    """Directory for the files of Ray and HAProxy while they run; null for a directory below /tmp."""
    logical_gpus: int = Field(default=8, ge=1, le=64)
    """Number of GPUs that Ray is configured with; an A4 machine has 8. The CPU computes the tokens."""
    bucket_access: BucketAccess | None = None
    """How Ray reads buckets (`gs://...`); null: public ones only."""

    @field_validator("data_dir")
    @classmethod
    def _check_data_dir(cls, path: Path | None) -> Path | None:
        if path is None:
            return None
        if not path.is_absolute():
            raise DATA_DIR_RELATIVE.error(path=path)
        if len(path.parts) < 3:
            raise DATA_DIR_NOT_OWN.error(path=path, content="parts of the operating system")
        for content, directory in {"your home directory": Path.home(), "this checkout": CHECKOUT}.items():
            if directory.is_relative_to(path):
                raise DATA_DIR_NOT_OWN.error(path=path, content=content)
        if len(str(path)) > MAX_DATA_DIR_LENGTH:
            raise DATA_DIR_TOO_LONG.error(path=path, length=len(str(path)), limit=MAX_DATA_DIR_LENGTH)
        return path
