"""One chain of time-outs, from the client to a pod's end: whoever is nearer to the tokens gives up first.

A request that takes too long is then ended by the part that knows why, and nothing that drains is cut before the last
answer is out. All are whole seconds and follow from one setting, the longest answer that is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass

STEP_S = 10
"""Between one link and the next: more than a retry, a probe or a clock can be off."""
LOAD_BALANCER_PROPAGATION_S = 120
"""Until Google's load balancer has surely taken a back end out everywhere, and no new request arrives."""
MAX_CONNECTION_DRAINING_S = 3600
"""GCPBackendPolicy's drainingTimeoutSec goes no higher."""


@dataclass(frozen=True)
class Timeouts:
    """`request_timeout_s`: from the request's first byte to the answer's last one."""

    request_timeout_s: int
    load_balancer_propagation_s: int = LOAD_BALANCER_PROPAGATION_S

    @property
    def haproxy_timeout_s(self) -> int:
        """Silence that HAProxy bears from a replica or a client."""
        return self.request_timeout_s + STEP_S

    @property
    def backend_timeout_s(self) -> int:
        """GCPBackendPolicy.timeoutSec: the whole answer, not the gaps in it."""
        return self.haproxy_timeout_s + STEP_S

    @property
    def client_timeout_s(self) -> int:
        """What clients should allow; an output of the stack."""
        return self.backend_timeout_s + STEP_S

    @property
    def graceful_shutdown_timeout_s(self) -> int:
        """Serve's graceful_shutdown_timeout_s: a replica that leaves finishes what it has."""
        return self.request_timeout_s + STEP_S

    @property
    def haproxy_hard_stop_after_s(self) -> int:
        """RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S: after a reload the old process finishes what it has; by default it is
        cut after 120 s."""
        return self.haproxy_timeout_s + STEP_S

    @property
    def connection_draining_s(self) -> int:
        """GCPBackendPolicy's drainingTimeoutSec: a back end that leaves finishes what it has; by default 0."""
        return min(self.backend_timeout_s, MAX_CONNECTION_DRAINING_S)

    @property
    def proxy_min_draining_period_s(self) -> int:
        """RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S: a proxy that leaves, with its worker or because the last replica there
        does, still takes what the load balancer still sends, from when a probe has seen it; by default for 30 s."""
        return self.load_balancer_propagation_s + STEP_S

    @property
    def prestop_timeout_s(self) -> int:
        """How long a worker that leaves has for all of it."""
        return max(self.request_timeout_s, self.proxy_min_draining_period_s)

    @property
    def termination_grace_period_s(self) -> int:
        """A pod's terminationGracePeriodSeconds."""
        return max(self.prestop_timeout_s, self.graceful_shutdown_timeout_s, self.haproxy_hard_stop_after_s) + STEP_S

    @property
    def ray_cluster_deletion_delay_s(self) -> int:
        """How long the old RayCluster stays after the Service has moved on to the new one."""
        return self.load_balancer_propagation_s + self.connection_draining_s + STEP_S
