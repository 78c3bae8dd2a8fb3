"""What the `infra` block may say when the stack runs on this computer."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from config.base import Settings
from config.issues import Rule
from config.local import ports
from paths import CHECKOUT

# Unix sockets lie under the folder. HAProxy caps their paths at 97 characters, and Ray names one
# FOLDER/<node id, 56 digits>/metrics.sock; its own longest one has 68 characters below FOLDER and a cap of 107.
MAX_DATA_DIR_LENGTH = 97 - len("/" + 56 * "0" + "/metrics.sock")

FOLDER_TOO_LONG = Rule(
    "machine.folder-too-long",
    problem="folder {folder} has {length} characters",
    reason="Ray and HAProxy put Unix sockets under it, whose paths are capped",
    fix="write a folder of at most {limit} characters, such as /tmp/rayllm",
)
FOLDER_RELATIVE = Rule(
    "machine.folder-relative",
    problem="folder {folder} is a relative path",
    reason="`pulumi` and Ray run in different working directories",
    fix="write an absolute one",
)
FOLDER_NOT_OWN = Rule(
    "machine.folder-not-own",
    problem="folder {folder} holds {what}",
    reason="the folder is emptied when the stack starts and removed when it ends",
    fix="write one that nothing else uses, such as /tmp/rayllm",
)


class LocalInfra(Settings):
    """The `infra` block with `kind: local`: one computer, no cloud, no GPU, no containers."""

    kind: Literal["local"]
    """This computer."""
    port_offset: int = Field(default=0, ge=0, le=10 * ports.PORT_BLOCK_SIZE, multiple_of=ports.PORT_BLOCK_SIZE)
    """Added to every port (8000 and 8265 among them): 200 for a second stack on the same computer, 400 for a third."""
    data_dir: Path | None = None
    """Where Ray and HAProxy keep their files while they run; a folder of the system's temporary one by default."""
    logical_gpus: int = Field(default=8, ge=1, le=64)
    """GPUs that Ray is told there are, as many as an A4 machine has; tokens are computed by the CPU."""

    @field_validator("data_dir")
    @classmethod
    def _folder(cls, folder: Path | None) -> Path | None:
        if folder is None:
            return None
        if not folder.is_absolute():
            raise FOLDER_RELATIVE.error(folder=folder)
        if len(folder.parts) < 3:
            raise FOLDER_NOT_OWN.error(folder=folder, what="parts of the system")
        for what, held in {"your home folder": Path.home(), "this checkout": CHECKOUT}.items():
            if held.is_relative_to(folder):
                raise FOLDER_NOT_OWN.error(folder=folder, what=what)
        if len(str(folder)) > MAX_DATA_DIR_LENGTH:
            raise FOLDER_TOO_LONG.error(folder=folder, length=len(str(folder)), limit=MAX_DATA_DIR_LENGTH)
        return folder
