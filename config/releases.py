"""`serving.kubernetes`: releases, additional models and rollout limits."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator, model_validator

import versions
from config.base import Settings, matches
from config.data_path import DataPath
from config.issues import Rule
from config.model_service import Autoscaling, Engine, FixedReplicas, Model, ModelService
from config.routes import Route
from config.timeouts import MAX_CONNECTION_DRAINING_S

MAX_REQUEST_TIMEOUT_S = 3400

IMAGE_PATTERN = (
    r"([a-z0-9.-]+(:\d+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[\w.-]+)?@sha256:[0-9a-f]{64}"
)
IMAGE_FORMAT = "REPOSITORY@sha256:DIGEST in small letters, without a scheme"


NO_DIGEST = Rule(
    "serving.image-without-digest",
    problem="image {image} has no digest",
    reason="a tag can come to mean another image, and two nodes would run two programs under one name",
    fix="write REPOSITORY@sha256:DIGEST (`docker buildx imagetools inspect IMAGE:TAG` prints it)",
)
OTHER_RAY = Rule(
    "serving.image-of-another-ray",
    problem="the image's tag says Ray {tag} and ray_version is {version}",
    reason="KubeRay and this stack's checks go by ray_version",
    fix="write ray_version: {tag}, or the image of Ray {version}",
)
LONGEST_ANSWER = Rule(
    "serving.longest-answer",
    problem="request_timeout_s is {seconds}",
    reason="Google's load balancer drains a back end for {limit} s at most, and what is behind it gives up sooner",
    fix="write 30 to {most}",
    source="gke-gateway-api, GCPBackendPolicy",
)
RAY_TOO_OLD = Rule(
    "serving.ray-too-old",
    problem="ray_version is {version}",
    reason="direct streaming came with 2.56.0, whose router hangs and does not grow with the proxies",
    fix="use an image with Ray {floor} or later",
    source="ray-project/ray#64488, ray-project/ray#64724",
)


class AdditionalModel(ModelService):
    """A model beside the first one, as a RayService of its own: Ray's direct path has one model an application."""

    name: Annotated[
        str,
        matches(
            r"[a-z]([a-z0-9-]{0,45}[a-z0-9])?",
            "up to 47 lowercase letters, digits and hyphens, a letter first and no hyphen last",
        ),
    ]
    """Its RayService. Changing it makes another."""
    route: Route
    """Which requests are its own; all others go to the first model."""
    max_rate_per_endpoint: int = Field(ge=1, le=100_000)
    """As in `clusters`."""


class RayAuthMode(StrEnum):
    """KubeRay's `authOptions.mode`."""

    DISABLED = "disabled"
    TOKEN = "token"


class Release(Settings):
    """What a region's `release` chooses: what pods are made from, and what else is raised region by region."""

    image: Annotated[str, matches(IMAGE_PATTERN, IMAGE_FORMAT)]
    """Of Ray's LLM image or one made from it, by digest; without a registry where infra.image_registry has one."""
    ray_version: Annotated[str, matches(r"\d+\.\d+\.\d+", f'a whole version, such as "{versions.RAY}"')] = versions.RAY
    """The Ray in that image."""
    request_timeout_s: int = 600
    """Seconds from a request to the last token of its answer; every time-out follows from it
    (config/timeouts.py)."""
    ray_auth_mode: RayAuthMode = RayAuthMode.DISABLED
    """`token`: Ray's dashboard, jobs and client ask for a token, which KubeRay 1.5.1 and later create."""
    data_path: DataPath | None = None
    """Instead of serving.data_path, as all that follow: for the first model; null for what `serving` says."""
    model: Model | None = None
    """Instead of serving.model."""
    replicas: Annotated[FixedReplicas | Autoscaling, Field(discriminator="kind")] | None = None
    """Instead of serving.replicas."""
    engine: Engine | None = None
    """Instead of serving.engine."""

    @field_validator("image", mode="before")
    @classmethod
    def _by_digest(cls, image: object) -> object:
        if isinstance(image, str) and image and "@" not in image:
            raise NO_DIGEST.error(image=image)
        return image

    @field_validator("ray_version")
    @classmethod
    def _new_enough(cls, version: str) -> str:
        if _numbers(version) < _numbers(versions.RAY_FLOOR):
            raise RAY_TOO_OLD.error(version=version, floor=versions.RAY_FLOOR)
        return version

    @field_validator("request_timeout_s")
    @classmethod
    def _within_googles(cls, seconds: int) -> int:
        if not 30 <= seconds <= MAX_REQUEST_TIMEOUT_S:
            raise LONGEST_ANSWER.error(seconds=seconds, limit=MAX_CONNECTION_DRAINING_S, most=MAX_REQUEST_TIMEOUT_S)
        return seconds

    @model_validator(mode="after")
    def _ray_of_the_image(self) -> Release:
        tagged = re.search(r":(\d+\.\d+\.\d+)\b", self.image)
        if tagged and tagged[1] != self.ray_version:
            raise OTHER_RAY.error(tag=tagged[1], version=self.ray_version)
        return self

    @property
    def is_placeholder(self) -> bool:
        """Whether the digest is one that no image has."""
        return self.image.endswith("@sha256:" + 64 * "0")


RELEASE_OVERRIDES = ("data_path", "model", "replicas", "engine")
"""What a release may say in place of `serving`."""


class WaitFor(StrEnum):
    """What `up` waits for. Infrastructure that is up and a model that is ready are two things, hours apart where nodes
    are yet to come."""

    INFRASTRUCTURE = "infrastructure"
    READY = "ready"


ReleaseName = Annotated[
    str,
    matches(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", "a name of small letters, digits, dots and hyphens, such as r2"),
]


class KubernetesServing(Settings):
    """What only clusters need."""

    releases: dict[ReleaseName, Release] = Field(min_length=1)
    """Name -> release. With several, every region says which one is its own (infra.regions[].release)."""
    max_rate_per_endpoint: int = Field(ge=1, le=100_000)
    """What one worker pod was measured to bear; beyond it the load balancer sends requests to other regions. Google's
    default is a hundred million, so that a full region never gives any away."""
    load_balancer_propagation_s: int = Field(default=120, ge=0, le=1800)
    """Seconds in which the load balancer may still send requests to a region that was taken out of the entrance, or to
    a worker that leaves."""
    wait_for: WaitFor = WaitFor.READY
    """`ready`: until the model answers. `infrastructure`: until everything is declared. Where nodes may take days to
    come (flex-start) nothing waits for a model."""
    ready_timeout_s: int = Field(default=3600, ge=60, le=86_400)
    """Seconds after which an `up` that waits for a model gives up. What it made is kept."""
    additional_models: tuple[AdditionalModel, ...] = ()
    """Further models, each a RayService of its own behind the same entrance."""

    def release_name(self, name: str) -> str:
        """Return the release that a region's `release` names: the only one if `name` is empty."""
        return next(iter(self.releases)) if not name and len(self.releases) == 1 else name

    def release(self, name: str) -> Release | None:
        """Return the release that a region's `release` names, or None if there is no such release."""
        return self.releases.get(self.release_name(name))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in version.split("."))
