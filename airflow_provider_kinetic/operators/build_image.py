"""The image of a job, as a task before it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import conf
from airflow.sdk.exceptions import TaskDeferralError, TaskDeferralTimeout

from airflow_provider_kinetic.hooks.kinetic import DEFAULT_CONN_ID, KineticHook
from airflow_provider_kinetic.hooks.task import XCOM_BUILD, push_image
from airflow_provider_kinetic.links.build import BUILD_LINK
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.operators.images import ImageWaiter
from airflow_provider_kinetic.operators.interruptible import Killed
from airflow_provider_kinetic.operators.killing import is_last_try

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

    from airflow_provider_kinetic.model.images import Build, Image, ImageRequest

_PLACES = ("project", "zone", "cluster")
_OPTIONS = (
    *("base_image", "base_image_repo", "prebuilt_tag"),
    *("build_non_root", "build_region", "build_worker_pool", "build_machine_type", "build_timeout"),
    *("build_layer_cache", "build_tags", "build_service_account", "build_repository"),
)
"""Arguments that stand for the fields of the connection which have these names."""

ACCELERATOR = "tpu-v5e-1"
"""Upstream's default (contract 1.2)."""


class KineticBuildImageOperator(ImageWaiter):
    """Make sure that the image with these requirements exists; its URI is the XCom.

    A task with the same category, base image and ``requirements`` finds it by content; passing the URI as
    ``container_image`` says the same more openly. XCom also gets ``cached``, ``build_id`` and ``log_url``. Any number
    of tasks that need one image cause one build; a retry after a failed build builds anew, at once.

    :param requirements: a list of requirements, or the path of a requirements.txt or pyproject.toml (templated).
        None: the nearest such file above the DAG's own (contract 4.4).
    :param accelerator: decides the category of the image (templated). Default: ``tpu-v5e-1``.
    :param category: says it: ``cpu``, ``gpu`` or ``tpu`` (templated).
    :param container_image: None or ``"bundled"``: built from the requirements; ``"prebuilt"``: the published image of
        the category; or the image itself, whose name is handed on (templated).
    :param base_image: what the image starts from (templated). This and everything below: None is the connection's.
    :param base_image_repo: where prebuilt images are: ``{base_image_repo}/base-{category}:{prebuilt_tag}`` (templated).
    :param prebuilt_tag: their tag (templated).
    :param build_non_root: the image's user is not root.
    :param build_region: location of Cloud Build (templated).
    :param build_worker_pool: ``projects/{p}/locations/{l}/workerPools/{name}`` (templated).
    :param build_machine_type: machine of the build, such as ``E2_HIGHCPU_8`` (templated).
    :param build_timeout: seconds for the build, or a timedelta.
    :param build_layer_cache: layers of the image before are used again.
    :param build_tags: Cloud Build tags beside ours (templated).
    :param build_service_account: who builds (templated).
    :param build_repository: Docker repository of the image (templated).
    :param deferrable: wait in the triggerer.
    :param poll_interval: seconds between two looks at the build.
    :param cancel_on_kill: whether a build that this task started is cancelled when the task is cleared, failed or timed
        out. Other tasks that wait for the image then have it built anew.
    :param kinetic_conn_id: connection of type ``kinetic``.
    :raises ConfigurationError: bad input; nothing was built.
    :raises ImageError: the build failed; the last lines of its log and the log's address are in the error.
    """

    template_fields: Sequence[str] = (
        *("requirements", "accelerator", "category", "container_image", "base_image", "base_image_repo"),
        *("prebuilt_tag", "build_region", "build_worker_pool", "build_machine_type", "build_tags"),
        *("build_service_account", "build_repository", *_PLACES),
    )
    operator_extra_links = (BUILD_LINK,)
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        requirements: Sequence[str] | str | None = None,
        accelerator: str | None = None,
        category: str | None = None,
        container_image: str | None = None,
        base_image: str | None = None,
        base_image_repo: str | None = None,
        prebuilt_tag: str | None = None,
        build_non_root: bool | None = None,
        build_region: str | None = None,
        build_worker_pool: str | None = None,
        build_machine_type: str | None = None,
        build_timeout: float | timedelta | None = None,
        build_layer_cache: bool | None = None,
        build_tags: Sequence[str] | str | None = None,
        build_service_account: str | None = None,
        build_repository: str | None = None,
        project: str | None = None,
        zone: str | None = None,
        cluster: str | None = None,
        deferrable: bool | None = None,
        poll_interval: float | None = None,
        cancel_on_kill: bool = True,
        kinetic_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.requirements = requirements
        self.accelerator = accelerator
        self.category = category
        self.container_image = container_image
        self.base_image = base_image
        self.base_image_repo = base_image_repo
        self.prebuilt_tag = prebuilt_tag
        self.build_non_root = build_non_root
        self.build_region = build_region
        self.build_worker_pool = build_worker_pool
        self.build_machine_type = build_machine_type
        self.build_timeout = build_timeout
        self.build_layer_cache = build_layer_cache
        self.build_tags = build_tags
        self.build_service_account = build_service_account
        self.build_repository = build_repository
        self.project = project
        self.zone = zone
        self.cluster = cluster
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.cancel_on_kill = cancel_on_kill
        self.kinetic_conn_id = kinetic_conn_id

    @cached_property
    def hook(self) -> KineticHook:
        """The hook of the connection, with what this task says of its own build."""
        return KineticHook(self.kinetic_conn_id, overrides=self._overrides())

    def execute(self, context: Context) -> str:
        self._check_parameters()
        wanted = self._wanted()
        image = self._find_or_build(context, wanted)
        return self._announce(context, image)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None, **_: Any) -> str:
        """Second leg of a deferred task: the image is there, or it could not be built."""
        from airflow_provider_kinetic.model.errors import KineticError
        from airflow_provider_kinetic.model.images import Image

        event = event or {}
        if event.get("error"):
            raise KineticError.from_dict(event["error"])
        return self._announce(context, Image(**event["image"]))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """A trigger that broke down leaves its build to the next try; after the last it is cancelled."""
        from airflow_provider_kinetic.model.images import Build

        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except (TaskDeferralError, TaskDeferralTimeout):
            ti = context["ti"]
            pushed = ti.xcom_pull(key=XCOM_BUILD, task_ids=self.task_id, map_indexes=ti.map_index)
            if pushed and is_last_try(ti):
                self._build = Build.from_dict(pushed)
                self.abandon()
            raise

    def _wanted(self) -> Image | ImageRequest:
        """The image that was named, or what has to be in it."""
        from airflow_provider_kinetic.model.parameters import PREBUILT

        builder, category = self.hook.ports.builder, self._category()
        named = self.container_image or "bundled"
        if named == PREBUILT and self.hook.target.platform != "local":  # there it is emulated, else refused by now
            return builder.prebuilt(category)
        if named not in ("bundled", PREBUILT):
            return builder.named(named)
        return builder.request_for(category, self._requirements())

    def _find_or_build(self, context: Context, wanted: Image | ImageRequest) -> Image:
        from airflow_provider_kinetic.lifecycle import images
        from airflow_provider_kinetic.model.images import Image

        if isinstance(wanted, Image):
            return wanted
        ports, root = self.hook.ports, self.hook.target.store_root
        if found := ports.builder.find(wanted):
            return found
        waiting = self.waiting(context, defers=self.deferrable)
        with self.ending_builds():
            build = images.begin(ports, root, wanted, waiting, self._say)
            if self._killed:  # it came before there was a build
                raise Killed("The task was killed while its image was demanded.")
            if self.deferrable:
                self._defer(context, build)
            return images.finish(ports, root, build, waiting, self._say)

    def _defer(self, context: Context, build: Build) -> None:
        from airflow_provider_kinetic.hooks.settings import load_settings
        from airflow_provider_kinetic.triggers.build import KineticBuildTrigger

        timeout = self._timeout(context)
        trigger = KineticBuildTrigger(
            build=build.to_dict(),
            kinetic_conn_id=self.kinetic_conn_id,
            overrides=self._overrides(),
            store_root=self.hook.target.store_root,
            poll=self._poll(),
            fire_after=time.time() + load_settings().min_dwell,
            timeout=[timeout.seconds, timeout.at] if timeout else None,
            cancel_on_kill=self.cancel_on_kill,
        )
        self._build = None  # from here on it is the trigger's
        self.defer(trigger=trigger, method_name="execute_complete")

    def _announce(self, context: Context, image: Image) -> str:
        self._build = None
        self.log.info("Image %s: %s", "found" if image.cached else "built", image.uri)
        push_image(context, image)
        return image.uri

    def _overrides(self) -> dict[str, Any]:
        """What the task says in the place of its connection; plain values, which travel in a trigger."""
        given = {name: getattr(self, name) for name in (*_PLACES, *_OPTIONS)}
        timeout = given["build_timeout"]
        if timeout is not None and hasattr(timeout, "total_seconds"):
            given["build_timeout"] = timeout.total_seconds()
        return {name: value for name, value in given.items() if value is not None and value != ""}

    def _check_parameters(self) -> None:
        """:raises UnsupportedParameter: the platform cannot honour a parameter."""
        from airflow_provider_kinetic.model import parameters

        names = ("requirements", "container_image", "base_image_repo", *_PLACES)
        given = {name: getattr(self, name) for name in names}
        if self.category is None:
            given["accelerator"] = self.accelerator or ACCELERATOR
        for warning in parameters.check(self.hook.target, given):
            self.log.warning("%s", warning)

    def _category(self) -> str:
        """:raises ConfigurationError: accelerator and category do not agree."""
        from airflow_provider_kinetic.model import accelerators

        if self.category is None:
            return accelerators.parse(self.accelerator or ACCELERATOR).category
        if self.category not in ("cpu", "gpu", "tpu"):
            raise ConfigurationError(f"`category` is {self.category!r}; it must be cpu, gpu or tpu.")
        if self.accelerator and accelerators.parse(self.accelerator).category != self.category:
            raise ConfigurationError(
                f"`category` is {self.category!r}, and `accelerator` {self.accelerator!r} is of another one.",
                advice="Leave one of them out.",
            )
        return self.category

    def _requirements(self) -> str:
        from airflow_provider_kinetic.operators.requirements import requirements_text

        folder = Path(self.dag.fileloc).parent
        return requirements_text(self.requirements, folder, lambda line: self.log.warning("%s", line))
