"""The image of a job, as a task before it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_kinetic.hooks.kinetic import DEFAULT_CONN_ID, KineticHook

if TYPE_CHECKING:
    from airflow.sdk import Context


class KineticBuildImageOperator(BaseOperator):
    """Make sure that the image with these requirements exists; its URI is the XCom.

    A task that runs with the same ``accelerator`` category and ``requirements`` finds it by content; passing the URI as
    ``container_image`` says the same more openly. XCom also gets ``cached``, ``build_id`` and ``log_url``.

    :param requirements: a list of requirements (templated), or the path of a requirements.txt or pyproject.toml.
    :param accelerator: decides the category (CPU, GPU, TPU) of the image.
    :param kinetic_conn_id: connection of type ``kinetic``.
    :raises ImageError: the build failed; its last lines are in the error.
    """

    template_fields = ("requirements", "accelerator")

    def __init__(
        self,
        *,
        requirements: Sequence[str] | str | None = None,
        accelerator: str = "tpu-v5e-1",
        kinetic_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.requirements = requirements
        self.accelerator = accelerator
        self.kinetic_conn_id = kinetic_conn_id

    def execute(self, context: Context) -> str:
        from airflow_provider_kinetic.lifecycle import images
        from airflow_provider_kinetic.model import accelerators, parameters
        from airflow_provider_kinetic.operators.requirements import requirements_text

        hook = KineticHook(self.kinetic_conn_id)
        for warning in parameters.check(hook.target, {"accelerator": self.accelerator}):
            self.log.warning("%s", warning)
        folder = Path(self.dag.fileloc).parent
        text = requirements_text(self.requirements, folder, warn=lambda line: self.log.warning("%s", line))
        builder = hook.ports.builder
        request = builder.request_for(accelerators.parse(self.accelerator).category, text)
        image = images.ensure(hook.ports, hook.target.store_root, request, lambda line: self.log.info("%s", line))
        self.log.info("Image %s %s", image.uri, "found" if image.cached else "built")
        ti = context["ti"]
        for key, value in {"cached": image.cached, "build_id": image.build_id, "log_url": image.log_url}.items():
            ti.xcom_push(key=key, value=value)
        return image.uri
