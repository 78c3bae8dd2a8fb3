"""`serving.media`: which images, sounds and videos a request may have, and from where workers fetch them.

A request may name a URL, and the replica fetches it from inside the cluster. vLLM's defaults allow every host and every
redirect, so a caller could read what only pods can reach.
Source: vllm/multimodal/media/connector.py, vllm/config/multimodal.py; the same from vLLM 0.22.0 to 0.29.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import model_validator

from config.base import HOSTNAME, Settings, matches, raise_issues
from config.issues import ConfigIssue, Rule

NO_HOST = "no-media-host.invalid"
"""Stands for no host: vLLM reads an empty list as every host, and RFC 2606 keeps `.invalid` free of names."""
NO_REDIRECTS = {"VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0"}
"""Environment of a replica. vLLM checks the host of the first URL only, so a redirect could lead to any other."""
_INSIDE = r"(?!.*\.(internal|local|localhost|svc)$)"

HOSTS_OF_TEXT_ONLY = Rule(
    "serving.media.hosts-of-text-only",
    problem="set with `text_only: true`",
    reason="the model then takes no media at all",
    fix="Remove it, or write `text_only: false`",
)

MediaHost = Annotated[
    str,
    matches(
        _INSIDE + HOSTNAME,
        "a public host name in lowercase letters such as images.example.com, without scheme, port or *, and not one "
        "that ends with .internal, .local, .localhost or .svc",
    ),
]


class Media(Settings):
    """Images, sounds and videos in requests, for models that take them. A model for text ignores the block."""

    text_only: bool = False
    """True: requests have text only, and a multimodal model loads without its encoders (vLLM's `language_model_only`),
    which leaves more GPU memory."""
    allowed_hosts: tuple[MediaHost, ...] = ()
    """Hosts that workers may fetch media from, by exact name and without redirects. Empty: none; requests carry their
    media themselves, as `data:` URLs."""

    @property
    def engine_kwargs(self) -> dict[str, Any]:
        """vLLM's engine arguments."""
        only_text = {"language_model_only": True} if self.text_only else {}
        return {**only_text, "allowed_media_domains": list(self.allowed_hosts) or [NO_HOST]}

    @model_validator(mode="after")
    def _check(self) -> Media:
        return raise_issues(self, self._issues())

    def _issues(self) -> Iterator[ConfigIssue]:
        if self.text_only and self.allowed_hosts:
            yield HOSTS_OF_TEXT_ONLY.issue("allowed_hosts")
