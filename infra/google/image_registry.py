"""Where nodes get container images from: an Artifact Registry repository in each region, or one that exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi import Input, ResourceOptions
from pulumi_gcp import artifactregistry

from config.google.image_registry import ExistingImages, MirroredImages
from config.google.project import Project
from config.google.resource_names import Names


@dataclass(frozen=True)
class ImagesArgs:
    names: Names
    project: Project
    images: MirroredImages | ExistingImages
    regions: Sequence[str]
    keys: Mapping[str, str]
    """Region -> Cloud KMS key, where there are any."""
    node_member: Input[str]
    enabled: Sequence[pulumi.Resource]
    """APIs, and the grants on keys."""


class Images(pulumi.ComponentResource):
    """Makes: in each region a repository that fetches images from the upstream registry when they are first asked for,
    and keeps them; the nodes' right to read it, or to read an existing one.

    Does not: push images, or choose any.
    Replaces: a repository, when its upstream or key changes; it fills again by itself.
    """

    def __init__(self, name: str, args: ImagesArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rayllm:infra:Images", name, {}, opts)
        self.repositories: dict[str, pulumi.Output[str]] = {}
        """Region -> what image references start with."""
        self.readers: dict[str, pulumi.Resource] = {}
        """Region -> the nodes' right to read it."""
        match args.images:
            case MirroredImages() as mirrored:
                for region in args.regions:
                    self._mirror(args, mirrored, region)
            case ExistingImages() as existing:
                reader = self._reader(f"{existing.name}-nodes", existing.name, existing.location, args.node_member)
                path = pulumi.Output.from_input(_path(existing.location, args.project, existing.name))
                self.repositories = dict.fromkeys(args.regions, path)
                self.readers = dict.fromkeys(args.regions, reader)
        self.register_outputs({})

    def _mirror(self, args: ImagesArgs, images: MirroredImages, region: str) -> None:
        name = args.names.repository(region)
        repository = artifactregistry.Repository(
            name,
            repository_id=name,
            location=region,
            format="DOCKER",
            mode="REMOTE_REPOSITORY",
            remote_repository_config={"common_repository": {"uri": images.upstream}},
            kms_key_name=args.keys.get(region),
            opts=ResourceOptions(parent=self, depends_on=list(args.enabled), delete_before_replace=True),
        )
        path = _path(region, args.project, name)
        self.readers[region] = self._reader(f"{name}-nodes", repository.name, region, args.node_member)
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
