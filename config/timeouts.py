"""Derive every timeout from `request_timeout_s`. Each layer waits 10 s longer than the layer behind it (replica,
HAProxy, load balancer, client), so the layer that knows the cause reports the error.

The same order holds while something drains: no layer closes a connection before the last response is complete. All
values are whole seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from config.kuberay import MAX_CONNECTION_DRAINING_S

STEP_S = 10
"""Seconds between one layer and the next: longer than the error of a retry, a probe or a clock."""
REDIS_CLEANUP_S = 300
"""Seconds that KubeRay gives its clean-up of Redis before it removes the RayCluster's finalizer."""
MIN_DELETION_S = 1800
"""Shortest wait for the deletion of a RayService: KubeRay and nodes have work of their own."""
LOAD_BALANCER_PROPAGATION_S = 120
"""Seconds until every proxy of Google's load balancer knows that a back end is removed, and sends it no request."""


@dataclass(frozen=True)
class Timeouts:
    """Timeouts of one release. `request_timeout_s`: seconds from a request's first byte to the response's last byte."""

    request_timeout_s: int
    load_balancer_propagation_s: int = LOAD_BALANCER_PROPAGATION_S

    @property
    def haproxy_timeout_s(self) -> int:
        """HAProxy's client and server timeout: the longest pause in a request or response."""
        return self.request_timeout_s + STEP_S

    @property
    def backend_timeout_s(self) -> int:
        """GCPBackendPolicy `timeoutSec`: the whole response, not the pauses in it."""
        return self.haproxy_timeout_s + STEP_S

    @property
    def client_timeout_s(self) -> int:
        """Timeout to set in clients; a stack output."""
        return self.backend_timeout_s + STEP_S

    @property
    def graceful_shutdown_timeout_s(self) -> int:
        """Ray Serve `graceful_shutdown_timeout_s`: how long a replica that stops may finish its requests."""
        return self.request_timeout_s + STEP_S

    @property
    def haproxy_hard_stop_after_s(self) -> int:
        """RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S: after a reload the old HAProxy process finishes its requests. Ray's
        default closes them after 120 s."""
        return self.haproxy_timeout_s + STEP_S

    @property
    def connection_draining_s(self) -> int:
        """GCPBackendPolicy `drainingTimeoutSec`: a back end that is removed finishes its requests. Google's default
        is 0."""
        return min(self.backend_timeout_s, MAX_CONNECTION_DRAINING_S)

    @property
    def proxy_min_draining_period_s(self) -> int:
        """RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S: a Serve proxy that drains (its worker stops, or the node's last
        replica stops) still accepts the requests that the load balancer sends until it has seen the change. Ray's
        default is 30 s."""
        return self.load_balancer_propagation_s + STEP_S

    @property
    def prestop_timeout_s(self) -> int:
        """How long a worker's preStop hook waits for all of this."""
        return max(self.request_timeout_s, self.proxy_min_draining_period_s)

    @property
    def termination_grace_period_s(self) -> int:
        """A pod's `terminationGracePeriodSeconds`."""
        return max(self.prestop_timeout_s, self.graceful_shutdown_timeout_s, self.haproxy_hard_stop_after_s) + STEP_S

    @property
    def ray_cluster_deletion_delay_s(self) -> int:
        """How long KubeRay keeps the old RayCluster after the Service selects the new one."""
        return self.load_balancer_propagation_s + self.connection_draining_s + STEP_S

    @property
    def ray_service_deletion_timeout_s(self) -> int:
        """How long Pulumi waits for the deletion of a RayService: the grace period of its pods comes first."""
        return max(self.termination_grace_period_s + REDIS_CLEANUP_S + STEP_S, MIN_DELETION_S)
