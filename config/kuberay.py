"""Names, ports and paths that Ray Serve and KubeRay fix, and that several rooms must write alike."""

from __future__ import annotations

SERVE_PORT = 8000
"""Port of Ray Serve's HTTP proxy in every pod. Another port leaves NEGs behind
(GoogleCloudPlatform/gke-gateway-api#49)."""
HAPROXY_STATS_PORT = 8404
"""Port of HAProxy's statistics in every pod (Ray: RAY_SERVE_HAPROXY_STATS_PORT)."""
READINESS_PORT = 8090
"""Port in every worker pod on which pod_scripts/readiness.py answers the kubelet's readiness probe."""
HEALTH_CHECK_PATH = "/-/healthz"
"""Path that Ray Serve's proxy answers while it is healthy."""
SERVE_SERVICE_SUFFIX = "-serve-svc"
"""KubeRay names the Kubernetes Service of a RayService `NAME-serve-svc`."""
NODE_TYPE_LABEL = "ray.io/node-type"
"""Pod label that KubeRay sets: `head` or `worker`."""
MAX_CONNECTION_DRAINING_S = 3600
"""Greatest `drainingTimeoutSec` that GCPBackendPolicy accepts, in seconds."""
