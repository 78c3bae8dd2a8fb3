"""Shapes of tokens and keys, for every place that must not show one."""

from __future__ import annotations

import re

TOKEN_PATTERN = re.compile(
    r"\b(hf_\w{10,}|sk-[\w-]{16,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|nvapi-[\w-]{20,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}"
    r"|ya29\.[\w-]{20,})|-----BEGIN [A-Z ]*PRIVATE KEY"
)
"""How tokens and keys begin: Hugging Face, OpenAI, GitHub, NVIDIA, AWS, Google."""
