"""``@task.kinetic``: a TaskFlow function that runs as a job."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar, overload

from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory

from airflow_provider_kinetic.operators.run import KineticRunOperator

if TYPE_CHECKING:
    from airflow.sdk.bases.decorator import Task

    from airflow_provider_kinetic.operators.job import Seconds

P = ParamSpec("P")
R = TypeVar("R")


class _KineticDecoratedOperator(DecoratedOperator, KineticRunOperator):
    """The operator behind the decorator; ``DecoratedOperator`` must come first (``airflow`` 2)."""

    custom_operator_name = "@task.kinetic"
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in KineticRunOperator.template_fields if name not in DecoratedOperator.template_fields),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **KineticRunOperator.template_fields_renderers,
        **DecoratedOperator.template_fields_renderers,
    }
    template_ext: Sequence[str] = ()  # a string argument that ends in ".yaml" is an argument, not a file
    shallow_copy_attrs: Sequence[str] = ("python_callable",)

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            kwargs_to_upstream={"python_callable": python_callable, "op_args": op_args, "op_kwargs": op_kwargs},
            **kwargs,
        )


@overload
def kinetic_task(python_callable: Callable[P, R]) -> Task[P, R]: ...


@overload
def kinetic_task(
    *,
    multiple_outputs: bool | None = None,
    accelerator: str = ...,
    container_image: str | None = ...,
    base_image_repo: str | None = ...,
    requirements: Sequence[str] | str | None = ...,
    capture_env_vars: Sequence[str] | None = ...,
    env_vars: Mapping[str, str] | None = ...,
    secrets: Mapping[str, str] | None = ...,
    project: str | None = ...,
    zone: str | None = ...,
    cluster: str | None = ...,
    namespace: str | None = ...,
    backend: str | None = ...,
    volumes: Mapping[str, Any] | None = ...,
    spot: bool = ...,
    debug: bool = ...,
    trial: str | None = ...,
    experiment: str | None = ...,
    output_dir: str | None = ...,
    resume: str = ...,
    restore_from: Any = ...,
    on_mismatch: str | None = ...,
    startup_timeout: Seconds | None = ...,
    run_timeout: Seconds | None = ...,
    stop_grace: Seconds | None = ...,
    stall_timeout: Seconds | None = ...,
    max_preemptions: int | None = ...,
    labels: Mapping[str, str] | None = ...,
    service_account: str | None = ...,
    requests: Mapping[str, str] | None = ...,
    priority_class: str | None = ...,
    queue_name: str | None = ...,
    secret_env: Mapping[str, str] | None = ...,
    pod_override: Mapping[str, Any] | None = ...,
    result_format: str = ...,
    kinetic_conn_id: str = ...,
    job_id: str | None = ...,
    deferrable: bool | None = ...,
    poll_interval: float | None = ...,
    cleanup: str | None = ...,
    cancel_on_kill: bool | None = ...,
    trust_bucket: bool | None = ...,
    **kwargs: Any,
) -> TaskDecorator: ...


def kinetic_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
) -> Any:
    """Run the decorated function as a Kinetic job.

    Takes every parameter of :class:`~airflow_provider_kinetic.operators.run.KineticRunOperator`. The arguments
    of the function may be XComs of other tasks, templated strings, and of any size; for ``Data`` it gets a path.

    :param multiple_outputs: push each key of the returned dict as an XCom of its own.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=_KineticDecoratedOperator,
        **kwargs,
    )
