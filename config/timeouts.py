"""One chain of time-outs, from the client to a pod's end: whoever is nearer to the tokens gives up first.

A request that takes too long is then ended by the part that knows why, and nothing that drains is cut before the last
answer is out. All are whole seconds and follow from one setting, the longest answer that is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass

STEP_S = 10
"""Between one link and the next: more than a retry, a probe or a clock can be off."""
DETACH_S = 120
"""Until Google's load balancer has surely taken a back end out everywhere, and no new request arrives."""
GATEWAY_DRAINING_LIMIT_S = 3600
"""GCPBackendPolicy's drainingTimeoutSec goes no higher."""


@dataclass(frozen=True)
class Timeouts:
    """`longest_answer_s`: from the request's first byte to the answer's last one."""

    longest_answer_s: int
    detach_s: int = DETACH_S

    @property
    def haproxy_s(self) -> int:
        """Silence that HAProxy bears from a replica or a client."""
        return self.longest_answer_s + STEP_S

    @property
    def gateway_s(self) -> int:
        """GCPBackendPolicy.timeoutSec: the whole answer, not the gaps in it."""
        return self.haproxy_s + STEP_S

    @property
    def client_s(self) -> int:
        """What clients should allow; an output of the stack."""
        return self.gateway_s + STEP_S

    @property
    def replica_drain_s(self) -> int:
        """Serve's graceful_shutdown_timeout_s: a replica that leaves finishes what it has."""
        return self.longest_answer_s + STEP_S

    @property
    def haproxy_drain_s(self) -> int:
        """RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S: after a reload the old process finishes what it has; by default it is
        cut after 120 s."""
        return self.haproxy_s + STEP_S

    @property
    def gateway_draining_s(self) -> int:
        """GCPBackendPolicy's drainingTimeoutSec: a back end that leaves finishes what it has; by default 0."""
        return min(self.gateway_s, GATEWAY_DRAINING_LIMIT_S)

    @property
    def proxy_drain_s(self) -> int:
        """RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S: a proxy that leaves, with its worker or because the last replica there
        does, still takes what the load balancer still sends, from when a probe has seen it; by default for 30 s."""
        return self.detach_s + STEP_S

    @property
    def leave_s(self) -> int:
        """How long a worker that leaves has for all of it."""
        return max(self.longest_answer_s, self.proxy_drain_s)

    @property
    def termination_s(self) -> int:
        """A pod's terminationGracePeriodSeconds."""
        return max(self.leave_s, self.replica_drain_s, self.haproxy_drain_s) + STEP_S

    @property
    def cluster_deletion_delay_s(self) -> int:
        """How long the old RayCluster stays after the Service has moved on to the new one."""
        return self.detach_s + self.gateway_draining_s + STEP_S
