"""Shapes of tokens, keys and passwords: the one list for settings, policies, previews and pull requests."""

from __future__ import annotations

import re

TOKEN_PREFIXES = {
    r"hf_": r"\w{10,}",  # Hugging Face
    r"sk-": r"[\w-]{16,}",  # OpenAI
    r"gh[a-z]_": r"\w{20,}",  # GitHub
    r"github_pat_": r"\w{20,}",
    r"nvapi-": r"[\w-]{20,}",  # NVIDIA
    r"AKIA": r"[0-9A-Z]{16}",  # AWS
    r"AIza": r"[\w-]{30,}",  # Google, API keys
    r"ya29\.": r"[\w-]{20,}",  # Google, access tokens
}
"""Beginning of a token -> its remaining characters, long enough that ordinary text does not match."""
TOKEN_PATTERN = re.compile(
    rf"\b({'|'.join(prefix + rest for prefix, rest in TOKEN_PREFIXES.items())})|-----BEGIN [A-Z ]*PRIVATE KEY"
)
"""A value that contains a token or a private key."""
SECRET_NAME = re.compile(
    r"passw|secret|token|credential|(private|api|client)[_-]?key|auth_?string|authorization|kube_?config"
    r"|certificate-authority",
    re.IGNORECASE,
)
"""A name of an input or field whose text is not shown, whether or not Pulumi knows that it is secret."""
SECRET_ENV_VAR = re.compile(r"(^|_)(TOKEN|PASSWORD|PASSWD|SECRET|(?<!HEADER_)KEY|CREDENTIALS?)$", re.IGNORECASE)
"""A name of an environment variable that holds a secret. RAY_SERVE_SESSION_ID_HEADER_KEY is the name of a header."""

# Text of unknown origin, as in a log. These match more than the patterns above: too much is better than too little.
ANY_TOKEN = re.compile(rf"\b({'|'.join(TOKEN_PREFIXES)}|v1:)[\w+/=:.-]{{10,}}")
"""A token with one of the prefixes, or a value that Pulumi encrypted (v1:)."""
PEM_BLOCK = re.compile(r"-----BEGIN [^-\n]+-----.*?(-----END [^-\n]+-----|$)", re.MULTILINE)
URL_CREDENTIALS = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
BEARER_TOKEN = re.compile(r"(?i)\bbearer\s+[\w.~+/=-]{8,}")
ASSIGNED_SECRET = re.compile(
    r"""(?i)(\b\w*(?:passw\w*|secret|token(?!i)|api_?key)\w*["']?\s*[:=]\s*["']?)[^\s"',}\[]{8,}"""
)
"""`NAME = VALUE` or `NAME: VALUE` with a name that says secret; group 1 is everything before the value."""
JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
KUBECONFIG_PEM = re.compile(r"\bLS0tLS1[\w+/=]*")
"""A certificate or key in a kubeconfig: "-----" in base64."""
KEY_LINE = re.compile(r"(?<![\w+/])[A-Za-z0-9+/]{64,}={0,2}(?![\w+/])")
"""One line of a key in base64."""
