"""Pulumi type tokens that policies and previews look for."""

from __future__ import annotations

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"
BUCKET = "gcp:storage/bucket:Bucket"
REDIS = "gcp:redis/instance:Instance"
SERVICE = "kubernetes:core/v1:Service"
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
