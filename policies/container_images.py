"""Container images: pin the content by digest and allow only known registries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.base import Policy
from policies.inputs import UNKNOWN, at, containers
from policies.resource_types import WITH_PODS

ALLOWED_REGISTRIES = re.compile(
    r"[a-z0-9-]+-docker\.pkg\.dev/|(docker\.io/)?rayproject/|registry\.k8s\.io/|gke\.gcr\.io/"
)
"""Beginning of an allowed image name: Artifact Registry, Ray's images, Kubernetes' images, GKE's images. Add yours."""
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


def _images(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (place, image) for each container whose `image` is known."""
    for where, container in containers(inputs):
        if (image := at(container, "image")) != UNKNOWN:
            yield where, str(image)


def _digest(inputs: Mapping[str, Any]) -> Iterator[str]:
    for where, image in _images(inputs):
        if not DIGEST.search(image):
            yield f"A container in {where} uses {image}, whose content can change. Set image: NAME@sha256:DIGEST."


def _registry(inputs: Mapping[str, Any]) -> Iterator[str]:
    for where, image in _images(inputs):
        if not ALLOWED_REGISTRIES.match(image):
            yield (
                f"A container in {where} uses {image}, from a registry that is not allowed. Use an image from Artifact "
                "Registry, or add the registry to ALLOWED_REGISTRIES in policies/container_images.py."
            )


POLICIES = (
    Policy("pod-image-digest", "high", "Two nodes run different code under one image name.", WITH_PODS, _digest),
    Policy(
        "pod-image-registry",
        "high",
        "The owner of an unknown registry can run code beside the model.",
        WITH_PODS,
        _registry,
    ),
)
