"""The setting `model.chat_template`: the text of a template, or where it is.

vLLM takes one argument for both, and tells them apart by the characters of Jinja (vllm/entrypoints/chat_utils.py,
_load_chat_template). A file of the checkout is read here, so that pods need no file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from config.issues import Rule
from paths import CHECKOUT

MARK = "{"
"""A character that every template has and no path."""

TEMPLATE_NOT_FOUND = Rule(
    "serving.model.chat-template-not-found",
    problem="{path} is not a file of this checkout",
    reason="a relative path is read when the settings are loaded, and pods do not have the checkout",
    fix="Write the path of a file below {checkout}, the absolute path of a file in the image, or the text of the "
    "template",
)
TEMPLATE_WITHOUT_JINJA = Rule(
    "serving.model.chat-template-without-jinja",
    problem="{path} has no Jinja expression",
    reason="every prompt would be the same text, without the messages",
    fix="Write a template that uses `messages`",
)


def _check(setting: str | None) -> str | None:
    if setting is not None and MARK not in setting and not Path(setting).is_absolute():
        text = _read(setting)
        if text is None:
            raise TEMPLATE_NOT_FOUND.error(path=repr(setting), checkout=CHECKOUT.name)
        if MARK not in text:
            raise TEMPLATE_WITHOUT_JINJA.error(path=setting)
    return setting


def _read(setting: str) -> str | None:
    """Return the text of a file of this checkout, or None if this user cannot read one at that path."""
    try:
        file = (CHECKOUT / setting).resolve()
        return file.read_text(errors="replace") if file.is_relative_to(CHECKOUT) and file.is_file() else None
    except (OSError, ValueError):  # a path that is too long, a folder without rights, a null byte
        return None


ChatTemplate = Annotated[str | None, AfterValidator(_check)]


def engine_argument(setting: str) -> str:
    """Return vLLM's argument `chat_template`: the text of the template, or the absolute path in `setting`."""
    if MARK in setting or Path(setting).is_absolute():
        return setting
    return (CHECKOUT / setting).read_text(errors="replace")
