"""Find secrets in clear text in a settings file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from config.issues import ConfigIssue, Rule, join_path
from config.secret_patterns import TOKEN_PATTERN

HUGGING_FACE_TOKEN_KEY = "huggingFaceToken"
"""The one secret that a stack may have: `pulumi config set --secret rayllm:huggingFaceToken`."""
REDACTED = "(a secret)"
"""What the scan puts in place of a secret, so that no other message repeats it."""
SECRET_IN_CLEAR_TEXT = Rule(
    "settings.secret-in-clear-text",
    problem="holds a token or a key in clear text",
    reason="everyone who reads the file or its history can use it",
    fix="Remove it and revoke it. The stack needs one secret only, the Hugging Face token: set it with "
    "`pulumi config set --secret rayllm:huggingFaceToken`",
)


def find_secrets(value: object, path: str = "") -> Iterator[ConfigIssue]:
    """Yield an issue for each secret in `value`. An issue never repeats the secret."""
    match value:
        case Mapping():
            for key, inner in value.items():
                yield from find_secrets(inner, join_path(path, str(key)))
        case list():
            for index, inner in enumerate(value):
                yield from find_secrets(inner, f"{path}[{index}]")
        case str() if _is_secret(path, value):
            yield SECRET_IN_CLEAR_TEXT.issue(path)
        case _:
            pass


def redact(value: object, path: str = "") -> object:
    """Return `value` with every secret replaced by `REDACTED`."""
    match value:
        case Mapping():
            return {key: redact(inner, join_path(path, str(key))) for key, inner in value.items()}
        case list():
            return [redact(inner, f"{path}[{index}]") for index, inner in enumerate(value)]
        case str() if _is_secret(path, value):
            return REDACTED
        case _:
            return value


def _is_secret(path: str, text: str) -> bool:
    return bool(text) and (path == HUGGING_FACE_TOKEN_KEY or TOKEN_PATTERN.search(text) is not None)
