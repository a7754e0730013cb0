"""The image builder of a cluster, with the credentials of its connection.

Nothing is imported or looked up before it is used: a job in an image that the user names asks neither of the
services, and one whose image is there asks Artifact Registry alone.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.hooks.late import late

if TYPE_CHECKING:
    from airflow_provider_kinetic.builders.base import ImageBuilder
    from airflow_provider_kinetic.builders.cloud_build import Builds, Registry
    from airflow_provider_kinetic.builders.named import NamedBuilder
    from airflow_provider_kinetic.builders.repository import DockerRepository
    from airflow_provider_kinetic.hooks.cloud_build import KineticCloudBuildAsyncHook
    from airflow_provider_kinetic.model.target import Target
    from airflow_provider_kinetic.stores.base import Store


def cloud_image_builder(target: Target, store: Store, named: NamedBuilder) -> ImageBuilder:
    """Builds with Cloud Build for this target; complains about options that cannot be when it is first used."""
    return late(lambda: _opened(target, store, named))


def _opened(target: Target, store: Store, named: NamedBuilder) -> ImageBuilder:
    from airflow_provider_kinetic.builders.cloud_build import CloudImageBuilder, Services
    from airflow_provider_kinetic.builders.cloud_build_request import Workshop

    repository, conn_id = _repository(target), target.gcp_conn_id

    def registry() -> Registry:
        from airflow_provider_kinetic.hooks.artifact_registry import KineticArtifactRegistryHook

        return KineticArtifactRegistryHook(conn_id, repository)

    def builds() -> Builds:
        from airflow_provider_kinetic.hooks.cloud_build import KineticCloudBuildHook

        return KineticCloudBuildHook(gcp_conn_id=conn_id)

    @cache
    def watching() -> KineticCloudBuildAsyncHook:
        from airflow_provider_kinetic.hooks.cloud_build import KineticCloudBuildAsyncHook

        return KineticCloudBuildAsyncHook(gcp_conn_id=conn_id)

    async def look(place: str, build_id: str) -> dict[str, Any] | None:
        hook = await asyncio.to_thread(watching)
        return await hook.look(place, build_id)

    return CloudImageBuilder(
        image=repository.image,
        root=target.store_root,
        shop=Workshop(target.project, target.cluster, target.build),
        services=Services(store, late(registry), late(builds), look),
        named=named,
    )


def _repository(target: Target) -> DockerRepository:
    from airflow_provider_kinetic.builders.repository import DockerRepository

    if target.build.repository:
        return DockerRepository.of(target.build.repository)
    return DockerRepository.of_cluster(target.project, target.zone, target.cluster)
