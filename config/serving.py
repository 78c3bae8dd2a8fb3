"""The `serving` block of a stack: which model runs, how many replicas, on which data path, and how on Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from config.issues import ConfigIssue, Rule
from config.model_service import PRIMARY_SERVICE_NAME, ModelService
from config.releases import RELEASE_OVERRIDES, KubernetesServing, Release

SEVERAL_MODELS = Rule(
    "serving.several-models",
    problem="a list of {count} models",
    reason="the direct data path serves one model an application, and Ray rejects more",
    fix="Write one `serving.model`; on Google Cloud write each further model in serving.kubernetes.additional_models",
    source="ray/llm/_internal/serve/core/ingress/builder.py",
)


class ServingSettings(ModelService):
    """The `serving` block."""

    kubernetes: KubernetesServing | None = None
    """Settings for Kubernetes. Required with `infra.kind: google`, and allowed only there."""

    def services(self, release: Release | None = None) -> tuple[ModelService, ...]:
        """Return every model service at `release`, the primary model first."""
        return tuple(service for _, service in self.named_services(release))

    def named_services(self, release: Release | None = None) -> tuple[tuple[str, ModelService], ...]:
        """Return every model service at `release` with the name of its RayService, the primary model first."""
        overrides = {} if release is None else {name: getattr(release, name) for name in RELEASE_OVERRIDES}
        primary = self.model_copy(update={name: value for name, value in overrides.items() if value is not None})
        additional = self.kubernetes.additional_models if self.kubernetes else ()
        return (PRIMARY_SERVICE_NAME, primary), *((each.name, each) for each in additional)


def find_model_lists(serving: object) -> Iterator[ConfigIssue]:
    """Yield an issue for a list of models in the raw `serving` block.

    This is no validator: one that runs before pydantic's own would make pydantic validate the rest of the block as
    Python data, which is less strict.
    """
    if not isinstance(serving, Mapping):
        return
    for key in ("models", "model"):
        if isinstance(models := serving.get(key), list):
            yield SEVERAL_MODELS.issue(f"serving.{key}", count=len(models))
