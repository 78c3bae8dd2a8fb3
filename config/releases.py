"""`serving.kubernetes`: releases, additional models and rollout limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from packaging.version import Version
from pydantic import Field, field_validator, model_validator

import versions
from config.base import Settings, matches, raise_issues
from config.data_path import DataPath
from config.issues import ConfigIssue, Rule
from config.kuberay import MAX_CONNECTION_DRAINING_S
from config.model_service import Autoscaling, Engine, FixedReplicas, Model, ModelService
from config.routes import Route

MIN_REQUEST_TIMEOUT_S, MAX_REQUEST_TIMEOUT_S = 30, 3400

IMAGE_PATTERN = (
    r"([a-z0-9.-]+(:\d+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[\w.-]+)?@sha256:[0-9a-f]{64}"
)
RAY_IN_TAG = re.compile(r"(?:^|/)(?P<name>[a-z0-9._-]+):v?(?P<ray>\d+\.\d+(?:\.\d+)?)(?![\d.]|\.\d)")
"""Repository's last part, and the Ray version of a tag: 2.60.0-py312, 2.60.0rc1, v2.60.0 or 2.60."""
IMAGE_FORMAT = "REPOSITORY@sha256:DIGEST in lowercase letters, without a scheme"


NO_DIGEST = Rule(
    "serving.releases.image-without-digest",
    problem="{image} has no digest",
    reason="a tag can move to another image, and two nodes would then run different programs",
    fix="Write REPOSITORY@sha256:DIGEST (`docker buildx imagetools inspect IMAGE:TAG` prints it)",
)
OTHER_RAY = Rule(
    "serving.releases.ray-version-of-another-image",
    problem="{version}, but the tag of the image is Ray {tag}",
    reason="KubeRay and this stack's checks use ray_version",
    fix="Write `ray_version: {tag}`, or the image of Ray {version}",
)
REQUEST_TIMEOUT = Rule(
    "serving.releases.request-timeout-out-of-range",
    problem="{seconds} is {wrong}",
    reason="GCPBackendPolicy drains an endpoint for at most {limit} s, and each timeout behind it must be shorter",
    fix="Write {least} to {most}",
    source="gke-gateway-api, GCPBackendPolicy",
)
RAY_TOO_OLD = Rule(
    "serving.releases.ray-version-too-old",
    problem="{version} is too old",
    reason="Ray 2.56.0 introduced direct streaming with a router that hangs; older versions do not have it",
    fix="Use an image with Ray {floor} or later",
    source="ray-project/ray#64488",
)


class AdditionalModel(ModelService):
    """A model beside the primary one, in its own RayService: the direct data path serves one model an application."""

    name: Annotated[
        str,
        matches(
            r"[a-z]([a-z0-9-]{0,45}[a-z0-9])?",
            "up to 47 lowercase letters, digits and hyphens, beginning with a letter and ending without a hyphen",
        ),
    ]
    """Name of its RayService. A new name creates another RayService."""
    route: Route
    """Requests that this model receives; the primary model receives all others."""
    max_rate_per_endpoint: int = Field(ge=1, le=100_000)
    """As `serving.kubernetes.max_rate_per_endpoint`, for the pods of this model."""


class RayAuthMode(StrEnum):
    """KubeRay's `authOptions.mode`."""

    DISABLED = "disabled"
    TOKEN = "token"


class Release(Settings):
    """What a region's `release` selects: the image of the pods, and other settings to roll out region by region."""

    image: Annotated[str, matches(IMAGE_PATTERN, IMAGE_FORMAT)]
    """Ray's LLM image, or one built from it, by digest. Without a registry host unless infra.image_registry is
    direct."""
    ray_version: Annotated[str, matches(r"\d+\.\d+\.\d+", f'a complete version such as "{versions.RAY}"')] = (
        versions.RAY
    )
    """Ray's version in that image."""
    request_timeout_s: int = 600
    """Seconds from a request to the last token of its answer. Every timeout is derived from it (config/timeouts.py)."""
    ray_auth_mode: RayAuthMode = RayAuthMode.DISABLED
    """`token`: Ray's dashboard, jobs and client require a token, which KubeRay 1.5.1 and later create."""
    data_path: DataPath | None = None
    """Overrides serving.data_path for the primary model; null to keep it."""
    model: Model | None = None
    """Overrides serving.model."""
    replicas: Annotated[FixedReplicas | Autoscaling, Field(discriminator="kind")] | None = None
    """Overrides serving.replicas."""
    engine: Engine | None = None
    """Overrides serving.engine."""

    @field_validator("image", mode="before")
    @classmethod
    def _check_digest(cls, image: object) -> object:
        if isinstance(image, str) and image and "@" not in image:
            raise NO_DIGEST.error(image=image)
        return image

    @field_validator("ray_version")
    @classmethod
    def _check_ray_version(cls, version: str) -> str:
        if Version(version) < Version(versions.RAY_FLOOR):
            raise RAY_TOO_OLD.error(version=version, floor=versions.RAY_FLOOR)
        return version

    @field_validator("request_timeout_s")
    @classmethod
    def _check_request_timeout(cls, seconds: int) -> int:
        least, most = MIN_REQUEST_TIMEOUT_S, MAX_REQUEST_TIMEOUT_S
        if not least <= seconds <= most:
            wrong = "too short" if seconds < least else "too long"
            raise REQUEST_TIMEOUT.error(
                seconds=seconds, wrong=wrong, limit=MAX_CONNECTION_DRAINING_S, least=least, most=most
            )
        return seconds

    @model_validator(mode="after")
    def _check_tag(self) -> Release:
        return raise_issues(self, self._tag_issues())

    def _tag_issues(self) -> Iterator[ConfigIssue]:
        tagged = RAY_IN_TAG.search(self.image)
        # Two numbers are Ray's only on an image that is called after Ray: others count their own versions.
        if tagged is None or (tagged["ray"].count(".") == 1 and not tagged["name"].startswith("ray")):
            return
        if not f"{self.ray_version}.".startswith(f"{tagged['ray']}."):
            complete = tagged["ray"] if tagged["ray"].count(".") == 2 else f"{tagged['ray']}.0"
            yield OTHER_RAY.issue("ray_version", tag=complete, version=self.ray_version)

    @property
    def is_placeholder(self) -> bool:
        """True if the digest is all zeros, which no image has."""
        return self.image.endswith("@sha256:" + 64 * "0")


RELEASE_OVERRIDES = ("data_path", "model", "replicas", "engine")
"""Fields of `serving` that a release may override."""


class WaitFor(StrEnum):
    """What `pulumi up` waits for. A model can be ready hours after the infrastructure, if nodes have to arrive."""

    INFRASTRUCTURE = "infrastructure"
    READY = "ready"


ReleaseName = Annotated[
    str,
    matches(
        r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", "a name of lowercase letters, digits, dots and hyphens, such as r2"
    ),
]


class KubernetesServing(Settings):
    """Settings that only Kubernetes needs."""

    releases: dict[ReleaseName, Release] = Field(min_length=1)
    """Releases by name. With several releases, every region names its own (infra.regions[].release)."""
    max_rate_per_endpoint: int = Field(ge=1, le=100_000)
    """Requests a second that one worker pod can serve, as you measured it (GCPBackendPolicy `maxRatePerEndpoint`).
    Above it the load balancer sends requests to other regions. With Google's default of 100,000,000 a full region
    never does."""
    load_balancer_propagation_s: int = Field(default=120, ge=0, le=1800)
    """Seconds during which the load balancer can still send requests to a region that the gateway no longer has, or
    to a worker that stops."""
    wait_for: WaitFor = WaitFor.READY
    """`ready`: `pulumi up` waits until the model answers. `infrastructure`: it waits until every resource exists. If
    nodes can take days to arrive (flex-start), it never waits for a model."""
    ready_timeout_s: int = Field(default=3600, ge=60, le=86_400)
    """Seconds that `pulumi up` waits for a model before it fails. It keeps the resources that it created."""
    additional_models: tuple[AdditionalModel, ...] = ()
    """Further models, each in its own RayService behind the same gateway."""

    def release_name(self, name: str) -> str:
        """Return the release that a region's `release` names: the only one if `name` is empty."""
        return next(iter(self.releases)) if not name and len(self.releases) == 1 else name

    def release(self, name: str) -> Release | None:
        """Return the release that a region's `release` names, or None if there is no such release."""
        return self.releases.get(self.release_name(name))
