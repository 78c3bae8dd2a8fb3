"""Where nodes get container images from: an Artifact Registry repository in each region, or one that exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi import Input, ResourceOptions
from pulumi_gcp import artifactregistry

from config.google.image_registry import ExistingRepository, RemoteRepository
from config.google.project import Project
from config.google.resource_names import ResourceNames


@dataclass(frozen=True)
class ImageRegistryArgs:
    names: ResourceNames
    project: Project
    images: RemoteRepository | ExistingRepository
    regions: Sequence[str]
    kms_keys: Mapping[str, str]
    """Region -> Cloud KMS key, where there are any."""
    node_member: Input[str]
    api_dependencies: Sequence[pulumi.Resource]
    """APIs, and the grants on keys."""


class ImageRegistry(pulumi.ComponentResource):
    """Makes: in each region a repository that fetches images from the upstream registry when they are first asked for,
    and keeps them; the nodes' right to read it, or to read an existing one.

    Does not: push images, or choose any.
    Replaces: a repository, when its upstream or key changes; it fills again by itself.
    """

    def __init__(self, name: str, args: ImageRegistryArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:ImageRegistry", name, {}, opts)
        self.repositories: dict[str, pulumi.Output[str]] = {}
        """Region -> what image references start with."""
        self.reader_grants: dict[str, pulumi.Resource] = {}
        """Region -> the nodes' right to read it."""
        match args.images:
            case RemoteRepository() as mirrored:
                for region in args.regions:
                    self._remote_repository(args, mirrored, region)
            case ExistingRepository() as existing:
                reader = self._reader(f"{existing.name}-nodes", existing.name, existing.location, args.node_member)
                path = pulumi.Output.from_input(_path(existing.location, args.project, existing.name))
                self.repositories = dict.fromkeys(args.regions, path)
                self.reader_grants = dict.fromkeys(args.regions, reader)
        self.register_outputs({})

    def _remote_repository(self, args: ImageRegistryArgs, images: RemoteRepository, region: str) -> None:
        name = args.names.repository(region)
        repository = artifactregistry.Repository(
            name,
            repository_id=name,
            location=region,
            format="DOCKER",
            mode="REMOTE_REPOSITORY",
            remote_repository_config={"common_repository": {"uri": images.upstream}},
            kms_key_name=args.kms_keys.get(region),
            opts=ResourceOptions(parent=self, depends_on=list(args.api_dependencies), delete_before_replace=True),
        )
        path = _path(region, args.project, name)
        self.reader_grants[region] = self._reader(f"{name}-nodes", repository.name, region, args.node_member)
        self.repositories[region] = repository.name.apply(lambda _: path)

    def _reader(self, name: str, repository: Input[str], location: str, member: Input[str]) -> pulumi.Resource:
        return artifactregistry.RepositoryIamMember(
            name,
            repository=repository,
            location=location,
            role="roles/artifactregistry.reader",
            member=member,
            opts=ResourceOptions(parent=self),
        )


def _path(location: str, project: Project, repository: str) -> str:
    return f"{location}-docker.pkg.dev/{project.id}/{repository}"
