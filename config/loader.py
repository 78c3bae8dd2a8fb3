"""Read the settings of the stack that Pulumi runs. The only module of config/ that reads Pulumi's configuration.

The blocks come from `Pulumi.<stack>.yaml` (`rayllm:infra`, `rayllm:serving`).
"""

from __future__ import annotations

import json

import pulumi
from pulumi.runtime import config as runtime_config

from config.secret_scan import HUGGING_FACE_TOKEN_KEY
from config.stack import StackConfig, check
from config.stack_file import is_foreign_block


def read() -> tuple[StackConfig, pulumi.Output[str] | None]:
    """Return the checked settings and the Hugging Face token, a Pulumi secret (None if the stack has none).

    Raises `ConfigError` with every issue of the file.
    """
    config = pulumi.Config()
    names = {key.removeprefix(f"{config.name}:") for key in _keys() if key.startswith(f"{config.name}:")}
    if _is_secret(f"{config.name}:{HUGGING_FACE_TOKEN_KEY}"):
        names.discard(HUGGING_FACE_TOKEN_KEY)
    blocks = {name: _plain(config.get(name)) for name in names}
    blocks |= {key: None for key in _keys() if is_foreign_block(key)}
    token = config.get_secret(HUGGING_FACE_TOKEN_KEY)
    return check(pulumi.get_stack(), blocks, has_hugging_face_token=token is not None), token


def _keys() -> set[str]:
    """Return every key of the file: without the unknown ones a misspelt block would be ignored."""
    return {*runtime_config.CONFIG.get(), *runtime_config.get_config_env()}


def _is_secret(key: str) -> bool:
    return runtime_config.is_config_secret(key) or key in runtime_config.get_config_secret_keys_env()


def _plain(text: str | None) -> object:
    """Return a block as plain data. Pulumi passes `null` as empty text, and mappings and lists as JSON."""
    try:
        return json.loads(text) if text else None
    except json.JSONDecodeError:
        return text
