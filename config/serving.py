"""What the `serving` block of an environment may say: which model runs, how many times, on which data path, and what
clusters need to know besides."""

from __future__ import annotations

from collections.abc import Mapping

from config.issues import ConfigError, Rule
from config.model_service import PRIMARY_SERVICE_NAME, ModelService
from config.releases import RELEASE_OVERRIDES, KubernetesServing, Release

ONE_MODEL = Rule(
    "serving.one-model",
    problem="`serving` lists {count} models",
    reason="the direct data path serves one model an application, and Ray refuses more",
    fix="write one `model`; on clusters each further model goes into serving.kubernetes.additional_models",
    source="ray/llm/_internal/serve/core/ingress/builder.py",
)


class ServingSettings(ModelService):
    """The `serving` block."""

    kubernetes: KubernetesServing | None = None
    """Required with infra.kind google, and only there."""

    def services(self, release: Release | None = None) -> tuple[ModelService, ...]:
        """Return every model service at `release`, the primary model first."""
        return tuple(service for _, service in self.named_services(release))

    def named_services(self, release: Release | None = None) -> tuple[tuple[str, ModelService], ...]:
        """Return every model service at `release` with the name of its RayService, the primary model first."""
        overrides = {} if release is None else {name: getattr(release, name) for name in RELEASE_OVERRIDES}
        primary = self.model_copy(update={name: value for name, value in overrides.items() if value is not None})
        additional = self.kubernetes.additional_models if self.kubernetes else ()
        return (PRIMARY_SERVICE_NAME, primary), *((each.name, each) for each in additional)


def reject_model_list(serving: object) -> ConfigError | None:
    """What to tell whoever writes a list of models. Looked for in what was written: a validator that saw it first would
    make pydantic take the rest of the block for Python's own data, which it reads less strictly."""
    found = (serving.get("models") or serving.get("model")) if isinstance(serving, Mapping) else None
    return ConfigError([ONE_MODEL.format(count=len(found))], [ONE_MODEL.id]) if isinstance(found, list) else None
