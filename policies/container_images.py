"""Supply chain: what runs is what was tested, from where it is allowed to come."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.base import Policy
from policies.inputs import UNKNOWN, at, containers
from policies.resource_types import WITH_PODS

SOURCES = re.compile(r"[a-z0-9-]+-docker\.pkg\.dev/|(docker\.io/)?rayproject/|registry\.k8s\.io/|gke\.gcr\.io/")
"""How an image's name may begin: Artifact Registry, Ray's own images, Kubernetes' and GKE's. Write yours here."""
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


def _images(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for where, container in containers(inputs):
        if (image := at(container, "image")) != UNKNOWN:
            yield where, str(image)


def _no_digest(inputs: Mapping[str, Any]) -> Iterator[str]:
    for where, image in _images(inputs):
        if not DIGEST.search(image):
            yield f"The image of {where} is {image}, which may be another tomorrow: write NAME@sha256:..."


def _elsewhere(inputs: Mapping[str, Any]) -> Iterator[str]:
    for where, image in _images(inputs):
        if not SOURCES.match(image):
            yield f"The image of {where} is {image}: write one from Artifact Registry, or add to SOURCES here."


POLICIES = (
    Policy("pod-image-digest", "high", "Two nodes run two programs under one name.", WITH_PODS, _no_digest),
    Policy("pod-image-registry", "high", "Whoever owns the source runs code beside the model.", WITH_PODS, _elsewhere),
)
