"""Remove credentials, accounts and addresses from text for a pull request, and escape it for Markdown.

A pull request and its job's log have more readers than the state has.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence

from config import secret_patterns as patterns


def _global_address(found: re.Match[str]) -> str:
    """Hide an address of the internet. A private address stays: it is in the stack's file."""
    try:
        return "[address]" if ipaddress.ip_address(found.group()).is_global else found.group()
    except ValueError:
        return found.group()


REDACTED: Sequence[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = (
    (patterns.PEM_BLOCK, "[secret]"),
    (patterns.URL_CREDENTIALS, "[secret]"),
    (patterns.BEARER_TOKEN, "[secret]"),
    (patterns.ASSIGNED_SECRET, r"\1[secret]"),
    (patterns.ANY_TOKEN, "[secret]"),
    (patterns.JWT, "[secret]"),
    (patterns.KUBECONFIG_PEM, "[secret]"),
    (re.compile(r"[\w.+%-]+@[\w-]+(\.[\w-]+)+"), "[account]"),
    (re.compile(r"\b[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}\b"), "[billing account]"),
    (re.compile(r"\b[0-9a-f]{32,}\b"), "[digest]"),
    (patterns.KEY_LINE, "[secret]"),
    (re.compile(r"(?<![\w.])(\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"), _global_address),
    (re.compile(r"(?<![\w:])[0-9a-fA-F]{1,4}:[0-9a-fA-F:]*:[0-9a-fA-F]*(?![\w:])"), _global_address),
    (re.compile(r"(?<![\d.,])\d{9,}(?![\d.,]\d)"), "[number]"),  # as a project's number
)
"""Pattern -> replacement, in the order of use."""


def redact(text: str) -> str:
    """Return `text` with everything in `REDACTED` replaced."""
    for pattern, replacement in REDACTED:
        text = pattern.sub(replacement, text)
    return text


def escape_markdown(text: str) -> str:
    """Return redacted `text` without active Markdown, HTML or GitHub syntax (mentions, issue numbers)."""
    text = redact(text).replace("&", "&amp;").replace("<", "&lt;").replace("@", "@\u200b")
    text = re.sub(r"#(?=\d)", "#\u200b", text)
    return re.sub(r"([\\`*_\[\]~#>|])", r"\\\1", text)
