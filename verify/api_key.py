"""The API key with which this computer asks a model.

It is in RAYLLM_API_KEY. For stack local it is the operator's own, unless the variable names another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workloads.local import api_keys

ENV_VAR = "RAYLLM_API_KEY"


def headers() -> dict[str, str]:
    """Return the request headers that carry the key; none without one."""
    key = os.environ.get(ENV_VAR, "")
    return {"Authorization": f"Bearer {key}"} if key else {}


def use_operator_key(outputs: Mapping[str, Any]) -> None:
    """Use the operator's key of stack local, with these outputs, for every request of this process."""
    file = outputs.get("api_keys")
    if file and not os.environ.get(ENV_VAR):
        os.environ[ENV_VAR] = api_keys.operator_key(Path(file))
