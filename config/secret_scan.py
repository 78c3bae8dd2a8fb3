"""Find secrets written in clear text in a settings block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from config.issues import Rule
from config.secret_patterns import TOKEN_PATTERN

HUGGING_FACE_TOKEN_KEY = "huggingFaceToken"
"""The one secret that settings may hold: `pulumi config set --secret rayllm:huggingFaceToken`."""
SECRET_IN_CLEAR = Rule(
    "environment.secret-in-clear",
    problem="{at} holds a token or a key in clear text",
    reason="whoever reads the file or its history can use it",
    fix="take it out and revoke it; the one secret that this stack takes, Hugging Face's token, is set by "
    "`pulumi config set --secret rayllm:huggingFaceToken`",
)


def find_secrets(at: str, value: object) -> Iterator[str]:
    """Where in `value` there is a secret; the secret itself is never repeated."""
    match value:
        case Mapping():
            for key, inner in value.items():
                yield from find_secrets(f"{at}.{key}" if at else str(key), inner)
        case list():
            for index, inner in enumerate(value):
                yield from find_secrets(f"{at}[{index}]", inner)
        case str() if value and (at == HUGGING_FACE_TOKEN_KEY or TOKEN_PATTERN.search(value)):
            yield at
        case _:
            pass
