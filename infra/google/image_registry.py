"""Artifact Registry repositories that nodes pull images from: a remote repository in each region, or an existing
one."""

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
    """Arguments of `ImageRegistry`."""

    names: ResourceNames
    project: Project
    registry: RemoteRepository | ExistingRepository
    regions: Sequence[str]
    kms_keys: Mapping[str, str]
    """Location -> Cloud KMS key."""
    node_member: Input[str]
    api_dependencies: Sequence[pulumi.Resource]
    """APIs, and the grants on Cloud KMS keys."""


class ImageRegistry(pulumi.ComponentResource):
    """A remote repository in each region, which fetches and caches images of the upstream registry, and the nodes'
    right to read it; or only the right to read an existing repository.

    Does not push or select images. A change of the upstream registry or of the key replaces a repository; it fills
    again when nodes pull images.
    """

    def __init__(self, name: str, args: ImageRegistryArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:ImageRegistry", name, {}, opts)
        self.repositories: dict[str, pulumi.Output[str]] = {}
        """Region -> prefix of image references."""
        self.reader_grants: dict[str, pulumi.Resource] = {}
        """Region -> grant that lets nodes read the repository."""
        match args.registry:
            case RemoteRepository() as remote:
                for region in args.regions:
                    self._remote_repository(args, remote, region)
            case ExistingRepository() as existing:
                grant = self._reader_grant(f"{existing.name}-nodes", existing.name, existing.location, args.node_member)
                path = pulumi.Output.from_input(_path(existing.location, args.project, existing.name))
                self.repositories = dict.fromkeys(args.regions, path)
                self.reader_grants = dict.fromkeys(args.regions, grant)
        self.register_outputs({})

    def _remote_repository(self, args: ImageRegistryArgs, remote: RemoteRepository, region: str) -> None:
        name = args.names.repository(region)
        repository = artifactregistry.Repository(
            name,
            repository_id=name,
            location=region,
            format="DOCKER",
            mode="REMOTE_REPOSITORY",
            remote_repository_config={"common_repository": {"uri": remote.upstream}},
            kms_key_name=args.kms_keys.get(region),
            opts=ResourceOptions(parent=self, depends_on=list(args.api_dependencies), delete_before_replace=True),
        )
        path = _path(region, args.project, name)
        self.reader_grants[region] = self._reader_grant(f"{name}-nodes", repository.name, region, args.node_member)
        self.repositories[region] = repository.name.apply(lambda _: path)

    def _reader_grant(self, name: str, repository: Input[str], location: str, member: Input[str]) -> pulumi.Resource:
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
