"""The reader's own cluster, of kind or of GKE, which replaces the rehearsal's control plane in some tests."""

from __future__ import annotations

import os

ENV_VAR = "RAYLLM_KUBECONFIG"
"""Names the kubeconfig file of the reader's own cluster."""


def kubeconfig() -> str | None:
    """Return the kubeconfig file of the reader's own cluster, or None if the tests use the rehearsal's."""
    return os.environ.get(ENV_VAR) or None
