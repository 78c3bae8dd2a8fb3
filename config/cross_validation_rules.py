"""Rules of config/cross_validation.py: what the `infra` and `serving` blocks must not say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from config.issues import ConfigIssue, Rule

REGIONS = "<regions>"
"""Stands for the names of regions until `of_regions` fills them in."""


def of_regions(issue: ConfigIssue, regions: Sequence[str]) -> ConfigIssue:
    """Return `issue` with the names of `regions` in place of `REGIONS`."""
    names = " and ".join(regions)
    problem, reason, fix = (text.replace(REGIONS, names) for text in (issue.problem, issue.reason, issue.fix))
    return replace(issue, problem=problem, reason=reason, fix=fix)


SERVING_MISSING = Rule(
    "serving.missing-on-local",
    problem="null with `infra.kind: local`",
    reason="the local host has no infrastructure to create",
    fix="Write a `serving` block, at least `model: {{id: ...}}`",
)
LOGICAL_GPUS_TOO_FEW = Rule(
    "serving.replicas.exceed-logical-gpus",
    problem="{replicas} replicas of {gpus} GPU(s) need {wanted} GPUs",
    reason="infra.logical_gpus is {available}",
    fix="Write fewer replicas, or `infra.logical_gpus: {wanted}`",
)
TARGET_ABOVE_MAXIMUM = Rule(
    "serving.max-ongoing-requests-below-target",
    problem="{most} is less than replicas.target_ongoing_requests, {target}",
    reason="requests would wait for a replica before Ray Serve adds one",
    fix="Write at least {target}, or a target_ongoing_requests of at most {most}",
)
SCALE_TO_ZERO_DIRECT = Rule(
    "serving.replicas.scale-to-zero-direct",
    problem="0 with data path {data_path}",
    reason="HAProxy answers 503 when it has no replica in time; the request that should start a replica is lost",
    fix="Write 1 or more, or `data_path: python_proxy`, whose proxy holds the request",
    source="ray-project/ray#59076",
)
SCALE_TO_ZERO_ON_GOOGLE = Rule(
    "serving.replicas.scale-to-zero-on-google",
    problem="0 with `infra.kind: google`",
    reason="the load balancer sends requests to worker pods, and without a replica there is none: no request could "
    "start a replica again",
    fix="Write 1 or more. To pay for no GPU outside working hours, set `serving: null`, which keeps the infrastructure"
    "; to stop the traffic of a region, set `traffic: drained`",
)
NODE_POOL_ON_LOCAL = Rule(
    "serving.node-pool-on-local",
    problem="set with `infra.kind: local`",
    reason="the local host has no node pools",
    fix="Remove `node_pool`",
)
MODEL_BUCKET_ON_LOCAL = Rule(
    "serving.model.model-bucket-on-local",
    problem="{path} with `infra.kind: local`",
    reason="`bucket:` is a folder of infra.model_bucket, which the local host does not have",
    fix="Write the full `gs://BUCKET/FOLDER`",
)
BUCKET_CREDENTIALS_MISSING = Rule(
    "serving.model.bucket-credentials-missing",
    problem="{path} without infra.bucket_access.credentials_file",
    reason="Ray's processes do not inherit your login, and the download would wait for a metadata server that only "
    "Google Cloud has",
    fix="Write `infra.bucket_access: {{credentials_file: PATH}}` (`gcloud auth application-default login` prints the "
    "path), or `gs://anonymous@BUCKET/FOLDER` for a public bucket",
)
LOAD_ON_LOCAL = Rule(
    "serving.model.load-on-local",
    problem="{load} with `infra.kind: local`",
    reason="the local host has no GPU to stream to and no GKE that mounts a bucket",
    fix="Remove `load`: Ray downloads the weights of a bucket",
)
GATED_ON_LOCAL = Rule(
    "serving.model.gated-on-local",
    problem="true with `infra.kind: local`",
    reason="the local host reads no model from Hugging Face, so no token is used",
    fix="Remove `gated`",
)
KUBERNETES_ON_LOCAL = Rule(
    "serving.kubernetes-on-local",
    problem="set with `infra.kind: local`",
    reason="the local host has no image, no release and no gateway",
    fix="Remove `kubernetes`",
)
KUBERNETES_MISSING = Rule(
    "serving.kubernetes-missing",
    problem="missing",
    reason="pods need an image and the load balancer needs a rate limit for each pod",
    fix="Write `releases` and `max_rate_per_endpoint`, or set `serving: null` to create infrastructure only",
)
RELEASE_UNKNOWN = Rule(
    "infra.regions.release-unknown",
    problem="{problem}",
    reason="serving.kubernetes.releases has {known}",
    fix="Write the name of a release; with one release you can leave it out",
)
EXAMPLE_VALUE = Rule(
    "infra.example-value",
    problem="{value} is the value of this repository's example",
    reason="infra.project.id names another project than the example's",
    fix="Write your own value",
)
IMAGE_PLACEHOLDER = Rule(
    "serving.releases.image-placeholder",
    problem="the digest is all zeros",
    reason="it is this repository's placeholder, and no registry has such an image",
    fix="Write the digest of the image that you tested (`docker buildx imagetools inspect IMAGE:TAG` prints it)",
)
REVISION_PLACEHOLDER = Rule(
    "serving.model.revision-placeholder",
    problem="all zeros",
    reason="it is this repository's placeholder, and no repository has such a commit",
    fix='Write the commit that you tested, from the page "Files and versions" of the model',
)
IMAGE_REGISTRY_TWICE = Rule(
    "serving.releases.image-registry-twice",
    problem="the image has the registry {registry}",
    reason="nodes pull from the repository of infra.image_registry, and the stack puts its address before the image",
    fix="Remove {registry}/, or write `infra.image_registry: {{kind: direct}}`",
)
LOCAL_MODEL_ON_GOOGLE = Rule(
    "serving.model.local-model-on-google",
    problem="{source} with `infra.kind: google`",
    reason="only the local host has this model; it shows that the local stack works",
    fix="Write a Hugging Face id, `bucket:FOLDER` or `gs://BUCKET/FOLDER`",
)
MODEL_SOURCE_INVALID = Rule(
    "serving.model.source-invalid",
    problem="{source} is not a place that pods can read",
    reason="they would fail only when the GPUs run and cost money",
    fix="Write `bucket:FOLDER` of infra.model_bucket, `gs://BUCKET/FOLDER`, a Hugging Face id (OWNER/NAME), "
    "`pvc:CLAIM/FOLDER`, or the absolute path of a directory in the image",
)
MODEL_BUCKET_MISSING = Rule(
    "serving.model.model-bucket-missing",
    problem="{source} with `infra.model_bucket: null`",
    reason="`bucket:` is a folder of that bucket",
    fix="Write infra.model_bucket, or the full `gs://BUCKET/FOLDER`",
)
TOKEN_MISSING = Rule(
    "serving.model.token-missing",
    problem="true without a Hugging Face token",
    reason="Hugging Face would refuse the weights only when the GPUs run and cost money",
    fix="Run `pulumi config set --secret rayllm:huggingFaceToken` for this stack",
)
NODE_POOL_UNKNOWN = Rule(
    "serving.node-pool-unknown",
    problem="{pool} is unknown in {regions}",
    reason="the node pools there are {known}",
    fix="Write a node pool that every region has, or remove `node_pool`",
)
MIXED_GPUS = Rule(
    "serving.mixed-gpus",
    problem="missing, and the node pools of {regions} have different GPUs ({models})",
    reason="Ray requests one accelerator type for all replicas of a model, and would never use the others",
    fix="Write the node pool of the model",
)
TENSOR_PARALLEL_EXCEEDS_NODE = Rule(
    "serving.engine.tensor-parallel-exceeds-node",
    problem="{gpus} GPUs",
    reason="a replica stays on one node, and the nodes of {regions} have {per_node} GPU(s)",
    fix="Write at most {per_node}, or a node pool with a larger machine type",
)
GPUS_UNUSED = Rule(
    "serving.engine.gpus-unused",
    problem="{gpus} GPUs",
    reason="a node of {regions} has {per_node} GPUs, and {unused} of them would stay unused and cost money",
    fix="Write {sizes}",
)
TOO_MANY_REPLICAS = Rule(
    "serving.replicas.exceed-node-pools",
    problem="{replicas} replicas of {gpus} GPU(s)",
    reason="the node pools of {regions} hold at most {room}",
    fix="Write at most {room}, or more nodes in the node pools of the region (infra.regions)",
)
NODE_POOL_TOO_SMALL = Rule(
    "infra.node_pools.too-small",
    problem="at most {most}, and the models of pool {pool} in {region} need {wanted} nodes together",
    reason="a worker pod fills a whole node",
    fix="Write more nodes, or fewer replicas",
)
SYSTEM_MACHINE_TOO_SMALL = Rule(
    "infra.system_pool.machine-too-small",
    problem="{machine} is too small for a Ray head",
    reason="a head requests {cpus} vCPUs and {memory} GiB, and GKE needs a part of the node",
    fix="Write a larger machine type",
)
SYSTEM_POOL_TOO_SMALL = Rule(
    "infra.system_pool.too-small",
    problem="{most} node(s), and the Ray heads of {region} need {wanted} nodes",
    reason="there are up to {heads} heads, {heads_per_node} on a node",
    fix="Write at least {wanted}, or a larger machine_type",
)
MODEL_DUPLICATE = Rule(
    "serving.additional_models.duplicate",
    problem="two models have the {what}",
    reason="each has its own RayService and route; the primary model has the name {primary} and receives all other "
    "requests",
    fix="Write another name and another route for one of them",
)
PATH_TAKEN = Rule(
    "serving.additional_models.path-taken",
    problem="{prefix} takes requests away from model {owner}",
    reason="that model may answer below {taken} (docs/reference/routes.md)",
    fix="Write another path, such as {free}",
)
HOSTNAME_NOT_IN_CERTIFICATE = Rule(
    "serving.additional_models.hostname-not-in-certificate",
    problem="{hostname} is not in the certificate",
    reason="the certificate that Google issues for infra.gateway covers {certified} only",
    fix="Write a route by path or header, or `infra.gateway.certificate: {{kind: existing}}` with a certificate for "
    "both names",
)
HOSTNAME_TAKEN = Rule(
    "serving.additional_models.hostname-taken",
    problem="{hostname} is already infra.gateway.hostname",
    reason="the primary model ({primary}) answers there",
    fix="Write another host name, or route by path or header",
)
