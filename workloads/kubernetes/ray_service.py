"""The RayService of one model in one region, under the KubeRay operator of GKE's Ray Operator add-on.

KubeRay's own sample for this stack's benchmark is ray-service.high-throughput-gemma4.yaml;
docs/reference/preset.md compares the
two field by field. What a change of each field does: docs/how-to/changes.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import yaml
from pulumi import Input, Output, ResourceOptions
from pulumi_kubernetes.apiextensions import CustomResource

from config.data_path import DATA_PATHS
from config.google.regions import Traffic
from config.model_service import MODEL_BUCKET_SCHEME, Autoscaling, ModelService
from config.node_pool_info import NodePoolInfo
from config.releases import Release
from config.sizing import HEAD_CPUS, HEAD_DISK_GIB, HEAD_MEMORY_GIB, WorkerGroup, second_ray_cluster_fits
from config.timeouts import Timeouts
from infra.contract import ServingCluster
from workloads import serve_config
from workloads.kubernetes.secrets import SecretKeyRef

SERVE_PORT = 8000
HEALTH_PATH = "/-/healthz"
"""Answered with 200 by the proxy of every worker that has a replica."""
PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "serve": SERVE_PORT, "metrics": 8080}
"""KubeRay's names and numbers. GKE's Ray monitoring scrapes `metrics`."""
NAME_LABEL = "app.kubernetes.io/name"
"""On every pod of a RayService, whichever RayCluster it is of; KubeRay's own labels change with the RayCluster."""
WORKERS_ANNOTATION = "rayllm/workers"
"""On worker pods: bounds and tolerations. KubeRay leaves both out of the hash by which it tells whether pods changed
(GenerateHashWithoutReplicasAndWorkersToDelete), so a change of them alone would do nothing at all, and say nothing."""
RUNAI_STREAMER_KWARGS = {"load_format": "runai_streamer"}
"""How vLLM reads weights from a bucket: straight to the GPU, not by way of a disk."""
USER, GROUP = 1000, 100
"""`ray` in Ray's images."""
SCRIPTS_DIR = "/opt/rayllm"
"""Where the ConfigMap with pod_scripts/ is mounted."""


@dataclass(frozen=True)
class RayServiceArgs:
    name: str
    service: ModelService
    release: Release
    cluster: ServingCluster
    worker_groups: Sequence[WorkerGroup]
    timeouts: Timeouts
    priority_class: str
    redis_password: SecretKeyRef | None
    """Secret and key that hold it."""
    hugging_face_token: SecretKeyRef | None
    scripts_config_map: Input[str]
    """Name of the ConfigMap with pod_scripts/: it ends with a digest, so that other code means other pods."""
    token_auth: bool
    protect: bool
    """A RayService that takes requests is not deleted and made again by an edit; drain its region first."""


class RayService(pulumi.ComponentResource):
    """Makes: the RayService.

    Does not: make the account, secrets, budgets or policies that it names.
    An edit of the Serve configuration is applied in place. One of anything that a pod is made from gives a second
    RayCluster beside the first, if both fit the nodes for sure; else it replaces the RayService, which the engine
    refuses while the region takes requests; so it does with a deletion.
    """

    def __init__(self, name: str, args: RayServiceArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:workloads:RayService", name, {}, opts)
        in_place = second_ray_cluster_fits(args.worker_groups)
        active = args.cluster.traffic is Traffic.ACTIVE
        self.spec = spec(args)
        self.resource = CustomResource(
            name,
            api_version="ray.io/v1",
            kind="RayService",
            metadata={
                "name": args.name,
                "namespace": args.cluster.service_accounts.namespace,
                "labels": {NAME_LABEL: args.name},
                # What it says of itself comes and goes with its pods: readiness.py waits, and knows what for.
                "annotations": {"pulumi.com/skipAwait": "true"},
            },
            spec=self.spec,
            opts=ResourceOptions.merge(
                opts,
                ResourceOptions(
                    parent=self,
                    protect=args.protect and active,
                    delete_before_replace=True,
                    replace_on_changes=[] if in_place else ["spec.rayClusterConfig"],
                    custom_timeouts=pulumi.CustomTimeouts(delete="30m"),  # KubeRay cleans Redis up first
                ),
            ),
        )
        self.spec_digest = spec_digest(self.spec)
        """Of what was asked for: whoever waits for it waits again when it changes."""
        self.register_outputs({})


def spec(args: RayServiceArgs) -> dict[str, Any]:
    """`spec` of a RayService (ray.io/v1)."""
    return {
        "serveConfigV2": _serve_config(args),
        # Only clusters that fit twice get a second one; the others are replaced whole, in a drained region.
        "upgradeStrategy": {"type": "NewCluster" if second_ray_cluster_fits(args.worker_groups) else "None"},
        "rayClusterDeletionDelaySeconds": args.timeouts.ray_cluster_deletion_delay_s,
        # The head's HAProxy answers health checks even when there is no replica.
        "excludeHeadPodFromServeSvc": True,
        "rayClusterConfig": _omit_none(
            {
                "rayVersion": args.release.ray_version,
                **_autoscaler(args),
                "gcsFaultToleranceOptions": _fault_tolerance(args),
                "authOptions": {"mode": "token"} if args.token_auth else None,
                "headGroupSpec": {
                    "rayStartParams": {"dashboard-host": "0.0.0.0", "num-cpus": "0", "num-gpus": "0"},
                    "template": _pod(args, args.cluster.system_pool, _head(args), args.cluster.service_accounts.head),
                },
                "workerGroupSpecs": [_group(args, each) for each in args.worker_groups],
            }
        ),
    }


def ray_env_vars(args: RayServiceArgs) -> list[dict[str, Any]]:
    """Of every Ray process, on head and workers alike."""
    plain = {
        **DATA_PATHS[args.service.data_path].env_vars,
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": str(args.timeouts.haproxy_timeout_s),
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(args.timeouts.haproxy_timeout_s),
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(args.timeouts.haproxy_hard_stop_after_s),
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": str(args.timeouts.proxy_min_draining_period_s),
        # A HAProxy that died is noticed in seconds; by default it takes half a minute. One that is slow to answer gets
        # the ten seconds of the default: Serve ends a proxy that was late three times, and all that goes through it.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        # A proxy may start beside a model, on the same cores: Serve gives it 5 s by default, then ends it and starts
        # another, which is as late.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
        # A HAProxy asks the routers of its own node only (ray/serve/_private/haproxy.py), and refuses what none of them
        # has answered in time: with one router, all that comes until Serve has replaced it. The time is 5 by default.
        "RAY_SERVE_INGRESS_ROUTER_REPLICAS_PER_NODE": "2",
        "RAY_SERVE_HAPROXY_INGRESS_REQUEST_ROUTER_TIMEOUT_S": "15",
        # Load balancers know HAProxy, and only HAProxy knows replicas: none that leaves has to stay for half a minute.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(serve_config.LEAVING_S),
        "RAY_USAGE_STATS_ENABLED": "0",
        "VLLM_NO_USAGE_STATS": "1",
        # With authentication on, KubeRay sets it; left out, any ray.init() could mint a token for later processes.
        **({} if args.token_auth else {"RAY_AUTH_MODE": "disabled"}),
    }
    found: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in plain.items()]
    if args.hugging_face_token is not None:
        found.append({"name": "HF_TOKEN", "valueFrom": args.hugging_face_token.reference})
    return found


def image(release: Release, site: ServingCluster) -> Input[str]:
    """The whole reference: the region's repository in front, where there is one."""
    return (
        release.image if site.image_repository is None else Output.format("{}/{}", site.image_repository, release.image)
    )


def worker_bounds(each: WorkerGroup) -> str:
    """What KubeRay's hash leaves out, as one line."""
    tolerations = ",".join(f"{t.key}={t.value}:{t.effect}" for t in each.node_pool.tolerations)
    return f"{each.min_replicas}-{each.max_replicas} {tolerations}".rstrip()


def _serve_config(args: RayServiceArgs) -> Input[str]:
    source: Input[str] = args.service.model.source
    if args.service.model.source.startswith(MODEL_BUCKET_SCHEME):
        assert args.cluster.model_bucket_url is not None, (
            "config/loader.py refuses `bucket:` without infra.model_bucket"
        )
        source = Output.format(
            "{}/{}", args.cluster.model_bucket_url, args.service.model.source.removeprefix(MODEL_BUCKET_SCHEME)
        )

    def document(source: str) -> str:
        config = serve_config.serve_config(
            args.service,
            model_source=source,
            accelerator_type=args.worker_groups[0].node_pool.ray_accelerator_type,
            host="0.0.0.0",
            port=SERVE_PORT,
            engine_defaults=RUNAI_STREAMER_KWARGS if source.startswith("gs://") else None,
            drain_s=args.timeouts.graceful_shutdown_timeout_s,
            request_timeout_s=args.timeouts.request_timeout_s,
        )
        return yaml.safe_dump(config, sort_keys=False)

    return document(source) if isinstance(source, str) else Output.from_input(source).apply(document)


def _autoscaler(args: RayServiceArgs) -> dict[str, Any]:
    """Ray's autoscaler follows Serve's demand for GPUs; where the number is fixed there is nothing to follow."""
    if not isinstance(args.service.replicas, Autoscaling):
        return {"enableInTreeAutoscaling": False}
    size = {"cpu": "500m", "memory": "1Gi"}
    return {
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {
            "version": "v2",
            "idleTimeoutSeconds": args.service.replicas.idle_timeout_s,
            "resources": {"requests": size, "limits": size},
            "securityContext": _container_security(),
        },
    }


def _fault_tolerance(args: RayServiceArgs) -> dict[str, Any] | None:
    """No externalStorageNamespace: by default it is the RayCluster's own UID. A fixed one would have a new RayCluster
    load the state of the one that it replaces."""
    state = args.cluster.redis
    if state is None:
        return None
    password = {"redisPassword": {"valueFrom": args.redis_password.reference}} if args.redis_password else {}
    return {"redisAddress": state.address, **password}


def _group(args: RayServiceArgs, each: WorkerGroup) -> dict[str, Any]:
    account = args.cluster.service_accounts.worker
    return {
        "groupName": each.node_pool.name,
        "replicas": each.min_replicas,
        "minReplicas": each.min_replicas,
        "maxReplicas": each.max_replicas,
        "rayStartParams": {},
        "template": _pod(args, each.node_pool, _worker(args, each), account, {WORKERS_ANNOTATION: worker_bounds(each)}),
    }


def _pod(
    args: RayServiceArgs,
    nodes: NodePoolInfo,
    container: Mapping[str, Any],
    account: str,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    head = account == args.cluster.service_accounts.head
    return {
        "metadata": _omit_none(
            {
                "labels": {NAME_LABEL: args.name, "app.kubernetes.io/part-of": "rayllm"},
                "annotations": dict(annotations) if annotations else None,
            }
        ),
        "spec": _omit_none(
            {
                "serviceAccountName": account,
                # KubeRay's autoscaler, in the head's pod, calls the API server. Model code never does.
                "automountServiceAccountToken": head and isinstance(args.service.replicas, Autoscaling),
                "priorityClassName": args.priority_class,
                "terminationGracePeriodSeconds": args.timeouts.termination_grace_period_s,
                "nodeSelector": dict(nodes.node_selector),
                "tolerations": [
                    {"key": t.key, "operator": "Equal", "value": t.value, "effect": t.effect} for t in nodes.tolerations
                ]
                or None,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": USER,
                    "runAsGroup": GROUP,
                    "fsGroup": GROUP,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [dict(container)],
                "volumes": [
                    {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": _shared_memory(args, nodes)}},
                    {"name": "app", "configMap": {"name": args.scripts_config_map}},
                ],
            }
        ),
    }


def _head(args: RayServiceArgs) -> dict[str, Any]:
    size = {"cpu": str(HEAD_CPUS), "memory": f"{HEAD_MEMORY_GIB}Gi", "ephemeral-storage": f"{HEAD_DISK_GIB}Gi"}
    limits = {name: amount for name, amount in size.items() if name != "cpu"}
    return _container(args, "ray-head", PORTS, size, limits)


def _worker(args: RayServiceArgs, each: WorkerGroup) -> dict[str, Any]:
    """Memory has a limit, so that Ray knows what it has; vCPUs have none, so that nothing is throttled."""
    pod = each.pod_resources
    fixed = {
        "memory": f"{pod.memory_gib}Gi",
        "ephemeral-storage": f"{pod.disk_gib}Gi",
        "nvidia.com/gpu": str(pod.gpus),
    }
    ports = {name: PORTS[name] for name in ("serve", "metrics")}
    container = _container(args, "ray-worker", ports, {"cpu": str(pod.cpus), **fixed}, fixed)
    # Before a pod ends its replicas move away or finish what they have (workloads/kubernetes/pod_scripts/prestop.py).
    leave = ["python", f"{SCRIPTS_DIR}/prestop.py", str(args.timeouts.prestop_timeout_s)]
    probes = {"startupProbe": _started(args), "readinessProbe": _serves()}
    hooks = {"preStop": {"exec": {"command": leave}}}
    if DATA_PATHS[args.service.data_path].haproxy:
        # It stays beside Ray; a hook that waited for it would keep the pod from running (close_keepalive.py).
        script = f"{SCRIPTS_DIR}/close_keepalive.py {SERVE_PORT} {args.timeouts.load_balancer_propagation_s}"
        hang_up = f"python {script} </dev/null >/dev/null 2>&1 &"
        hooks["postStart"] = {"exec": {"command": ["sh", "-c", hang_up]}}
    return {**container, **probes, "lifecycle": hooks}


def _started(args: RayServiceArgs) -> dict[str, Any]:
    """The other probes begin when this one has passed (startup_probe.py). It never gives up: how long weights
    take is nobody's to know, and a Ray that died ends its container by itself."""
    path = ["haproxy"] if DATA_PATHS[args.service.data_path].haproxy else []
    command = ["python", f"{SCRIPTS_DIR}/startup_probe.py", args.service.model.id, str(SERVE_PORT), *path]
    return {
        "exec": {"command": command},
        "periodSeconds": 5,
        "timeoutSeconds": 25,  # more than startup_probe.py waits
        "failureThreshold": 10**6,
    }


def _serves() -> dict[str, Any]:
    """What the load balancer asks too. KubeRay's own probe is a shell and four programs in the pod, which have two
    seconds: on a busy machine they are late, and a pod that serves leaves its Service for it. Every second, because
    what comes to a HAProxy that died before the Service lets go of it is refused."""
    return {
        "httpGet": {"path": HEALTH_PATH, "port": SERVE_PORT},
        "periodSeconds": 1,
        "timeoutSeconds": 5,
        "failureThreshold": 1,
    }


def _container(
    args: RayServiceArgs, name: str, ports: Mapping[str, int], requests: Mapping[str, str], limits: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "name": name,
        "image": image(args.release, args.cluster),
        "ports": [{"name": port, "containerPort": number} for port, number in ports.items()],
        "env": ray_env_vars(args),
        "resources": {"requests": dict(requests), "limits": dict(limits)},
        "securityContext": _container_security(),
        "volumeMounts": [
            {"name": "dshm", "mountPath": "/dev/shm"},
            {"name": "app", "mountPath": SCRIPTS_DIR, "readOnly": True},
        ],
    }


def _container_security() -> dict[str, Any]:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _shared_memory(args: RayServiceArgs, nodes: NodePoolInfo) -> str:
    of_group = {each.node_pool.name: each.pod_resources.shared_memory_gib for each in args.worker_groups}
    return f"{of_group.get(nodes.name, HEAD_MEMORY_GIB // 4)}Gi"


def spec_digest(what: Any) -> Output[str]:
    """Of a manifest, whose parts may be unknown yet."""
    return Output.json_dumps(what, sort_keys=True).apply(lambda text: hashlib.sha256(text.encode()).hexdigest()[:16])


def _omit_none(mapping: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if value is not None}
