"""The RayService of one model in one region, for the KubeRay operator of GKE's Ray Operator add-on.

KubeRay's sample for the same benchmark is ray-service.high-throughput-gemma4.yaml; docs/reference/preset.md compares
the two field by field. docs/how-to/changes.md says what a change of each field does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import yaml
from pulumi import Input, Output, ResourceOptions
from pulumi_kubernetes.apiextensions import CustomResource

from config import router_env
from config.data_path import DATA_PATHS
from config.google.regions import Traffic
from config.kuberay import READINESS_PORT, SERVE_PORT
from config.lora import MODEL_BUCKET_SCHEME
from config.model_service import Autoscaling
from config.node_pool_info import NodePoolInfo
from config.region_plan import ServicePlan
from config.releases import Release
from config.sizing import HEAD_CPUS, HEAD_DISK_GIB, HEAD_MEMORY_GIB, WorkerGroup
from config.start_timeouts import STARTUP_PROBE_FAILURES, STARTUP_PROBE_PERIOD_S, StartTimeouts
from config.timeouts import Timeouts
from infra.contract import ServingCluster
from workloads import edge_settings, serve_config
from workloads.kubernetes import api_keys, model_volumes
from workloads.kubernetes.model_volumes import ModelVolumes
from workloads.kubernetes.secrets import SecretKeyRef
from workloads.model_weights import served_weights

PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "serve": SERVE_PORT, "metrics": 8080}
"""Container ports by KubeRay's names. GKE's Ray monitoring scrapes `metrics`."""
NAME_LABEL = "app.kubernetes.io/name"
"""Label on every pod of a RayService, in all its RayClusters; KubeRay's own labels change with the RayCluster."""
WORKERS_ANNOTATION = "rayllm/workers"
"""Annotation on worker pods: worker bounds and tolerations. KubeRay's hash that detects a change of pods leaves both
out (GenerateHashWithoutReplicasAndWorkersToDelete), so KubeRay would silently ignore a change of them alone."""
USER, GROUP = 1000, 100
"""User and group `ray` of Ray's images."""
SCRIPTS_DIR = "/opt/rayllm"
"""Mount path of the ConfigMap with pod_scripts/."""
SCRIPTS_VOLUME, SHARED_MEMORY_VOLUME = "pod-scripts", "dshm"


@dataclass(frozen=True)
class RayServiceArgs:
    """Inputs of RayService."""

    plan: ServicePlan
    """Name, model settings and worker groups."""
    release: Release
    cluster: ServingCluster
    timeouts: Timeouts
    start_timeouts: StartTimeouts
    priority_class: str
    redis_password: SecretKeyRef | None
    hugging_face_token: SecretKeyRef | None
    scripts_config_map: Input[str]
    """Name of the ConfigMap with pod_scripts/; its digest makes KubeRay replace pods that have other scripts."""
    token_auth: bool
    """True if Ray's token authentication is on."""
    protect: bool
    """True if Pulumi must not delete or replace the RayService while its region receives requests."""


class RayService(pulumi.ComponentResource):
    """Creates the RayService.

    Does not create the service accounts, secrets, disruption budgets and network policies that belong to it.
    Ray Serve applies an edit of the Serve configuration in place. For an edit of the pods KubeRay starts a second
    RayCluster and moves traffic to it, if the node pools can hold both. If they cannot, Pulumi replaces the RayService.
    With `protect` Pulumi refuses to replace or delete it while the region receives requests.
    """

    def __init__(self, name: str, args: RayServiceArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:workloads:RayService", name, {}, opts)
        active = args.cluster.traffic is Traffic.ACTIVE
        self.spec = spec(args)
        self.resource = CustomResource(
            name,
            api_version="ray.io/v1",
            kind="RayService",
            metadata={
                "name": args.plan.name,
                "namespace": args.cluster.service_accounts.namespace,
                "labels": {NAME_LABEL: args.plan.name},
                # Its conditions are not enough (readiness/ray_service_status.py), so RayServiceReady waits instead.
                "annotations": {"pulumi.com/skipAwait": "true"},
            },
            spec=self.spec,
            opts=ResourceOptions.merge(
                opts,
                ResourceOptions(
                    parent=self,
                    protect=args.protect and active,
                    delete_before_replace=True,
                    replace_on_changes=[] if args.plan.second_ray_cluster_fits else ["spec.rayClusterConfig"],
                    custom_timeouts=pulumi.CustomTimeouts(delete=f"{args.timeouts.ray_service_deletion_timeout_s}s"),
                ),
            ),
        )
        self.spec_digest = spec_digest(self.spec)
        """Digest of the spec; a wait starts again when it changes."""
        self.register_outputs({})


def spec(args: RayServiceArgs) -> dict[str, Any]:
    """Return the `spec` of the RayService (ray.io/v1)."""
    return {
        "serveConfigV2": _serve_config(args),
        # With None KubeRay never starts a second RayCluster: Pulumi replaces the RayService, in a drained region.
        "upgradeStrategy": {"type": "NewCluster" if args.plan.second_ray_cluster_fits else "None"},
        "rayClusterDeletionDelaySeconds": args.timeouts.ray_cluster_deletion_delay_s,
        # The head's HAProxy answers health checks even without a replica.
        "excludeHeadPodFromServeSvc": True,
        "rayClusterConfig": _omit_none(
            {
                "rayVersion": args.release.ray_version,
                **_autoscaler(args),
                "gcsFaultToleranceOptions": _fault_tolerance(args),
                "authOptions": {"mode": "token"} if args.token_auth else None,
                "headGroupSpec": {
                    "rayStartParams": {"dashboard-host": "0.0.0.0", "num-cpus": "0", "num-gpus": "0"},
                    "template": _pod(
                        args,
                        args.cluster.system_pool,
                        _head_container(args),
                        args.cluster.service_accounts.head,
                        model_volumes.head_volumes(),
                    ),
                },
                "workerGroupSpecs": [_worker_group(args, group) for group in args.plan.worker_groups],
            }
        ),
    }


def ray_env_vars(args: RayServiceArgs) -> list[dict[str, Any]]:
    """Return the environment variables of the Ray containers; head and workers have the same."""
    plain = {
        **DATA_PATHS[args.plan.service.data_path].env_vars,
        **edge_settings.env_vars(args.plan.service, SCRIPTS_DIR, api_keys.file(args.plan.service), loopback=False),
        **router_env.env_vars(args.plan.service, min(g.pod_resources.memory_gib for g in args.plan.worker_groups)),
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": str(args.timeouts.haproxy_timeout_s),
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(args.timeouts.haproxy_timeout_s),
        # Ray's default since 2.60; before, HAProxy waits without limit for a node that is gone.
        "RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S": "5",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(args.timeouts.haproxy_hard_stop_after_s),
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": str(args.timeouts.proxy_min_draining_period_s),
        # Serve notices a dead HAProxy in seconds; by default in half a minute. A slow HAProxy keeps the default timeout
        # of ten seconds: Serve kills a proxy that is late three times, with all its connections.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        # A proxy may start while a model loads on the same cores. By default Serve kills it after 5 s and starts
        # another one, which is as slow.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
        # HAProxy asks the routers of its own node only (ray/serve/_private/haproxy.py), and rejects a request that none
        # of them answers in time. With one router it would reject every request until Serve has replaced that router.
        # The default timeout is 5 s.
        "RAY_SERVE_INGRESS_ROUTER_REPLICAS_PER_NODE": "2",
        "RAY_SERVE_HAPROXY_INGRESS_REQUEST_ROUTER_TIMEOUT_S": "15",
        # Load balancers send requests to HAProxy, not to replicas, so a terminating replica need not wait for the
        # default of half a minute.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(serve_config.DRAINING_WAIT_S),
        **args.start_timeouts.ray_env_vars(redis=args.cluster.redis is not None),
        "HF_HOME": model_volumes.HUGGING_FACE_DIR,
        "PYTHONPATH": SCRIPTS_DIR,  # Ray imports rayllm_weights.py, rayllm_applications.py and serve_middlewares.py
        "RAY_USAGE_STATS_ENABLED": "0",
        "VLLM_NO_USAGE_STATS": "1",
        # KubeRay sets this variable if authentication is on. Without it any ray.init() may create a token, and later
        # processes would use it.
        **({} if args.token_auth else {"RAY_AUTH_MODE": "disabled"}),
    }
    variables: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in plain.items()]
    if args.hugging_face_token is not None:
        variables.append({"name": "HF_TOKEN", "valueFrom": args.hugging_face_token.reference})
    return variables


def image(release: Release, cluster: ServingCluster) -> Input[str]:
    """Return the image reference, prefixed with the region's repository if there is one."""
    repository = cluster.image_repository
    return release.image if repository is None else Output.format("{}/{}", repository, release.image)


def worker_bounds(group: WorkerGroup) -> str:
    """Return the fields that KubeRay's hash leaves out, as one line: `MIN-MAX KEY=VALUE:EFFECT,...`."""
    tolerations = ",".join(f"{t.key}={t.value}:{t.effect}" for t in group.node_pool.tolerations)
    return f"{group.min_replicas}-{group.max_replicas} {tolerations}".rstrip()


def _serve_config(args: RayServiceArgs) -> Input[str]:
    service, lora = args.plan.service, args.plan.service.model.lora
    source = _bucket_url(args, service.model.source)
    adapters = None if lora is None else _bucket_url(args, lora.dynamic_lora_loading_path)

    def document(source: str, adapters: str | None) -> str:
        weights = served_weights(service.model, source, model_volumes.WEIGHTS_DIR, model_volumes.MODELS_DIR)
        config = serve_config.serve_config(
            service,
            model_source=weights.model_source,
            callback_config=weights.callback_config,
            accelerator_type=args.plan.worker_groups[0].node_pool.ray_accelerator_type,
            host="0.0.0.0",
            port=SERVE_PORT,
            engine_defaults=weights.engine_kwargs,
            adapters=adapters,
            drain_s=args.timeouts.graceful_shutdown_timeout_s,
            request_timeout_s=args.timeouts.request_timeout_s,
        )
        return yaml.safe_dump(config, sort_keys=False)

    if isinstance(source, Output) or isinstance(adapters, Output):
        return Output.all(source, adapters).apply(lambda urls: document(*urls))
    return document(source, adapters)


def _bucket_url(args: RayServiceArgs, path: str) -> str | Output[str]:
    """Return the URL of `bucket:FOLDER`, a folder of the model bucket, and any other path unchanged."""
    if not path.startswith(MODEL_BUCKET_SCHEME):
        return path
    bucket_url = args.cluster.model_bucket_url
    assert bucket_url is not None, "config/cross_validation.py rejects `bucket:` without infra.model_bucket"
    return Output.format("{}/{}", bucket_url, path.removeprefix(MODEL_BUCKET_SCHEME))


def _autoscaler(args: RayServiceArgs) -> dict[str, Any]:
    """Enable Ray's autoscaler if Serve's autoscaling changes the number of replicas."""
    replicas = args.plan.service.replicas
    if not isinstance(replicas, Autoscaling):
        return {"enableInTreeAutoscaling": False}
    size = {"cpu": "500m", "memory": "1Gi"}
    return {
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {
            "version": "v2",
            "idleTimeoutSeconds": replicas.idle_timeout_s,
            "env": [
                {"name": name, "value": value}
                for name, value in args.start_timeouts.autoscaler_env_vars(args.timeouts).items()
            ],
            "resources": {"requests": size, "limits": size},
            "securityContext": _container_security_context(),
        },
    }


def _fault_tolerance(args: RayServiceArgs) -> dict[str, Any] | None:
    """Sets no externalStorageNamespace: the default is the RayCluster's UID. With a fixed one a new RayCluster would
    load the state of the RayCluster that it replaces."""
    redis = args.cluster.redis
    if redis is None:
        return None
    password = {"redisPassword": {"valueFrom": args.redis_password.reference}} if args.redis_password else {}
    return {"redisAddress": redis.address, **password}


def _worker_group(args: RayServiceArgs, group: WorkerGroup) -> dict[str, Any]:
    account, model = args.cluster.service_accounts.worker, args.plan.service.model
    weights = model_volumes.worker_volumes(model, _bucket_url(args, model.source), group.pod_resources.disk_gib)
    annotations = {WORKERS_ANNOTATION: worker_bounds(group), **weights.annotations}
    return {
        "groupName": group.node_pool.name,
        "replicas": group.min_replicas,
        "minReplicas": group.min_replicas,
        "maxReplicas": group.max_replicas,
        "rayStartParams": {},
        "template": _pod(args, group.node_pool, _worker_container(args, group, weights), account, weights, annotations),
    }


def _pod(
    args: RayServiceArgs,
    node_pool: NodePoolInfo,
    container: Mapping[str, Any],
    account: str,
    weights: ModelVolumes,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    is_head = account == args.cluster.service_accounts.head
    return {
        "metadata": _omit_none(
            {
                "labels": {NAME_LABEL: args.plan.name, "app.kubernetes.io/part-of": "rayllm"},
                "annotations": dict(annotations) if annotations else None,
            }
        ),
        "spec": _omit_none(
            {
                "serviceAccountName": account,
                # KubeRay's autoscaler in the head pod calls the API server. Model code never does.
                "automountServiceAccountToken": is_head and isinstance(args.plan.service.replicas, Autoscaling),
                "priorityClassName": args.priority_class,
                "terminationGracePeriodSeconds": args.timeouts.termination_grace_period_s,
                "nodeSelector": dict(node_pool.node_selector),
                "tolerations": [
                    {"key": t.key, "operator": "Equal", "value": t.value, "effect": t.effect}
                    for t in node_pool.tolerations
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
                    {
                        "name": SHARED_MEMORY_VOLUME,
                        "emptyDir": {"medium": "Memory", "sizeLimit": _shared_memory(args, node_pool)},
                    },
                    # Executable: Ray starts haproxy_wrapper.py itself.
                    {"name": SCRIPTS_VOLUME, "configMap": {"name": args.scripts_config_map, "defaultMode": 0o555}},
                    *api_keys.volumes(args.plan.service),
                    *weights.volumes,
                ],
            }
        ),
    }


def _head_container(args: RayServiceArgs) -> dict[str, Any]:
    requests = {"cpu": str(HEAD_CPUS), "memory": f"{HEAD_MEMORY_GIB}Gi", "ephemeral-storage": f"{HEAD_DISK_GIB}Gi"}
    limits = {name: amount for name, amount in requests.items() if name != "cpu"}
    return _container(args, "ray-head", PORTS, requests, limits, model_volumes.head_volumes())


def _worker_container(args: RayServiceArgs, group: WorkerGroup, weights: ModelVolumes) -> dict[str, Any]:
    """Memory has a limit, which Ray reads as the memory that it has. CPU has none, so that Linux never throttles it."""
    pod = group.pod_resources
    limits = {
        "memory": f"{pod.memory_gib}Gi",
        "ephemeral-storage": f"{pod.disk_gib - weights.sidecar_disk_gib}Gi",
        "nvidia.com/gpu": str(pod.gpus),
    }
    ports = {name: PORTS[name] for name in ("serve", "metrics")}
    container = _container(args, "ray-worker", ports, {"cpu": str(pod.cpus), **limits}, limits, weights)
    # Before the pod ends, its replicas move to other nodes or finish their requests (pod_scripts/prestop.py).
    prestop = ["python", f"{SCRIPTS_DIR}/prestop.py", str(args.timeouts.prestop_timeout_s)]
    probes = {"startupProbe": _startup_probe(args), "readinessProbe": _readiness_probe(args)}
    hooks = {"preStop": {"exec": {"command": prestop}}}
    scripts = [" ".join(["readiness.py", str(READINESS_PORT), str(SERVE_PORT), *_proxy_words(args)])]
    if DATA_PATHS[args.plan.service.data_path].haproxy:
        scripts.append(f"close_keepalive.py {SERVE_PORT} {args.timeouts.load_balancer_propagation_s}")
    scripts += api_keys.scripts(args.plan.service)
    # They run in the background beside Ray: until a postStart hook returns, the pod does not count as running.
    loops = [f"while :; do python {SCRIPTS_DIR}/{each}; sleep 1; done </dev/null >/dev/null 2>&1 &" for each in scripts]
    hooks["postStart"] = {"exec": {"command": ["sh", "-c", " ".join(loops)]}}
    return {**container, **probes, "lifecycle": hooks}


def _proxy_words(args: RayServiceArgs) -> list[str]:
    """The last arguments of the scripts that ask the pod's proxy."""
    path = DATA_PATHS[args.plan.service.data_path]
    return ["haproxy"] * path.haproxy + ["direct"] * path.direct


def _startup_probe(args: RayServiceArgs) -> dict[str, Any]:
    """The kubelet starts the other probes when this one has passed (startup_probe.py).

    It never fails for good: the time to load weights has no upper bound, and the container ends by itself if Ray dies.
    """
    return {
        "exec": {"command": ["python", f"{SCRIPTS_DIR}/startup_probe.py", str(SERVE_PORT), *_proxy_words(args)]},
        "periodSeconds": STARTUP_PROBE_PERIOD_S,
        "timeoutSeconds": 10,  # longer than the time-outs of the script
        "failureThreshold": STARTUP_PROBE_FAILURES,
    }


def _readiness_probe(args: RayServiceArgs) -> dict[str, Any]:
    """A process in the pod answers (readiness.py): Serve's own health check passes when every engine is dead.

    KubeRay's own probe starts a shell and four programs in the pod, which have two seconds. On a busy node they are
    late, and the Service drops a pod that serves. The period is one second, because the pod refuses every request from
    the death of HAProxy until the Service drops the pod. On the Python proxy each probe sends a request to a replica.
    """
    return {
        "httpGet": {"path": "/", "port": READINESS_PORT},
        "periodSeconds": 1 if DATA_PATHS[args.plan.service.data_path].haproxy else 3,
        "timeoutSeconds": 10,  # longer than the time-outs of the script
        "failureThreshold": 1,
    }


def _container(
    args: RayServiceArgs,
    name: str,
    ports: Mapping[str, int],
    requests: Mapping[str, str],
    limits: Mapping[str, str],
    weights: ModelVolumes,
) -> dict[str, Any]:
    return {
        "name": name,
        "image": image(args.release, args.cluster),
        "ports": [{"name": port, "containerPort": number} for port, number in ports.items()],
        "env": ray_env_vars(args),
        "resources": {"requests": dict(requests), "limits": dict(limits)},
        "securityContext": _container_security_context(),
        "volumeMounts": [
            {"name": SHARED_MEMORY_VOLUME, "mountPath": "/dev/shm"},
            {"name": SCRIPTS_VOLUME, "mountPath": SCRIPTS_DIR, "readOnly": True},
            *api_keys.mounts(args.plan.service),
            *weights.mounts,
        ],
    }


def _container_security_context() -> dict[str, Any]:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _shared_memory(args: RayServiceArgs, node_pool: NodePoolInfo) -> str:
    worker_gib = {group.node_pool.name: group.pod_resources.shared_memory_gib for group in args.plan.worker_groups}
    return f"{worker_gib.get(node_pool.name, HEAD_MEMORY_GIB // 4)}Gi"


def spec_digest(manifest: Any) -> Output[str]:
    """Return a digest of a manifest, whose parts may be outputs."""
    return Output.json_dumps(manifest, sort_keys=True).apply(
        lambda text: hashlib.sha256(text.encode()).hexdigest()[:16]
    )


def _omit_none(mapping: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if value is not None}
