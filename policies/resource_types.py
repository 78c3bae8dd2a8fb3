"""Pulumi type tokens that policies and previews (tools/preview) look for."""

from __future__ import annotations

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"
BUCKET = "gcp:storage/bucket:Bucket"
REDIS = "gcp:redis/instance:Instance"
ADDRESS = "gcp:compute/address:Address"
GLOBAL_ADDRESS = "gcp:compute/globalAddress:GlobalAddress"
DNS_ZONE = "gcp:dns/managedZone:ManagedZone"
DNS_RECORD = "gcp:dns/recordSet:RecordSet"
KMS_KEY = "gcp:kms/cryptoKey:CryptoKey"
KMS_KEY_RING = "gcp:kms/keyRing:KeyRing"
FIREWALL = "gcp:compute/firewall:Firewall"
FIREWALL_POLICY_RULES = (
    "gcp:compute/networkFirewallPolicyRule:NetworkFirewallPolicyRule",
    "gcp:compute/regionNetworkFirewallPolicyRule:RegionNetworkFirewallPolicyRule",
)
GOOGLE_PROVIDER = "pulumi:providers:gcp"

PROJECT_GRANTS = tuple(
    f"gcp:{level}/iAM{kind}:IAM{kind}"
    for level in ("projects", "folder", "organizations")
    for kind in ("Member", "Binding")
)
"""IAM grants on a project, a folder or an organization."""
RESOURCE_GRANTS = (
    "gcp:storage/bucketIAMMember:BucketIAMMember",
    "gcp:storage/bucketIAMBinding:BucketIAMBinding",
    "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember",
    "gcp:artifactregistry/repositoryIamBinding:RepositoryIamBinding",
    "gcp:secretmanager/secretIamMember:SecretIamMember",
    "gcp:secretmanager/secretIamBinding:SecretIamBinding",
)
"""IAM grants on one resource."""
SERVICE_ACCOUNT_KEYS = ("gcp:serviceaccount/key:Key", "gcp:storage/hmacKey:HmacKey")

GATEWAY = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
HTTP_ROUTE = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
ROUTES = (
    HTTP_ROUTE,
    "kubernetes:gateway.networking.k8s.io/v1beta1:HTTPRoute",
    "kubernetes:gateway.networking.k8s.io/v1:GRPCRoute",
    "kubernetes:gateway.networking.k8s.io/v1alpha2:TCPRoute",
)
SERVICE_EXPORT = "kubernetes:net.gke.io/v1:ServiceExport"
BACKEND_POLICY = "kubernetes:networking.gke.io/v1:GCPBackendPolicy"
HEALTH_CHECK_POLICY = "kubernetes:networking.gke.io/v1:HealthCheckPolicy"
INGRESS = "kubernetes:networking.k8s.io/v1:Ingress"
NETWORK_POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
DISRUPTION_BUDGET = "kubernetes:policy/v1:PodDisruptionBudget"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
SERVICE = "kubernetes:core/v1:Service"
RBAC_ROLES = ("kubernetes:rbac.authorization.k8s.io/v1:Role", "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole")
RBAC_BINDINGS = (
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding",
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding",
)
RAY_SERVICE = "kubernetes:ray.io/v1:RayService"
RAY = (RAY_SERVICE, "kubernetes:ray.io/v1:RayCluster", "kubernetes:ray.io/v1:RayJob")
WITH_PODS = (
    *RAY,
    "kubernetes:core/v1:Pod",
    "kubernetes:apps/v1:Deployment",
    "kubernetes:apps/v1:StatefulSet",
    "kubernetes:apps/v1:DaemonSet",
    "kubernetes:apps/v1:ReplicaSet",
    "kubernetes:batch/v1:Job",
    "kubernetes:batch/v1:CronJob",
)
"""Types whose inputs contain pod specs."""
