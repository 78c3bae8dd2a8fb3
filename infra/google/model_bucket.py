"""Cloud Storage bucket with the model weights, and the workers' right to read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi import ResourceOptions
from pulumi_gcp import storage

from config.google.model_bucket import ExistingBucket, NewBucket
from config.google.project import Project
from config.google.resource_names import ResourceNames
from infra.google.service_accounts import SERVICE_ACCOUNTS, workload_identity_principal

WEEK_S = 7 * 24 * 3600


@dataclass(frozen=True)
class ModelBucketArgs:
    """Arguments of `ModelBucket`."""

    names: ResourceNames
    project: Project
    bucket: NewBucket | ExistingBucket
    kms_key: str | None
    protect: bool
    api_dependencies: Sequence[pulumi.Resource]
    clusters: Sequence[pulumi.Resource]
    """Clusters of the project. The workers' principal exists once one of them exists."""


class ModelBucket(pulumi.ComponentResource):
    """A bucket without public access, with soft delete for a week (or an existing bucket), and the workers' right to
    read it.

    Does not upload weights, and grants nothing to the head, the nodes or anyone else. A change of the location replaces
    the bucket; Google and Pulumi reject this while it is protected or has objects.
    """

    def __init__(self, name: str, args: ModelBucketArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:ModelBucket", name, {}, opts)
        match args.bucket:
            case NewBucket() as new:
                bucket = self._bucket(args, new).name
            case ExistingBucket() as existing:
                bucket = pulumi.Output.from_input(existing.name)
        self.reader_grant = storage.BucketIAMMember(
            f"{args.names.bucket()}-workers",
            bucket=bucket,
            role="roles/storage.objectViewer",
            member=workload_identity_principal(args.project, SERVICE_ACCOUNTS.namespace, SERVICE_ACCOUNTS.worker),
            opts=ResourceOptions(parent=self, depends_on=list(args.clusters)),
        )
        self.url = pulumi.Output.concat("gs://", bucket)
        self.register_outputs({})

    def _bucket(self, args: ModelBucketArgs, new: NewBucket) -> storage.Bucket:
        name = args.names.bucket()
        return storage.Bucket(
            name,
            name=name,
            location=new.location,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            soft_delete_policy={"retention_duration_seconds": WEEK_S},
            lifecycle_rules=[{"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}}],
            encryption={"default_kms_key_name": args.kms_key} if args.kms_key else None,
            force_destroy=False,
            deletion_policy="PREVENT" if args.protect else "DELETE",
            opts=ResourceOptions(
                parent=self, protect=args.protect, delete_before_replace=True, depends_on=list(args.api_dependencies)
            ),
        )
