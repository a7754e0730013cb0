"""What all operators that submit have in common: the parameters of a job and the way to its spec.

The parameters carry upstream's names and meanings (``contract`` 1.2); ``docs/parameters.md`` says which platform
honours which. They are checked when the task runs, against the platform of its connection, before
anything is sent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_kinetic.hooks.kinetic import DEFAULT_CONN_ID, KineticHook
from airflow_provider_kinetic.hooks.task import describe, identity_of, push_handle
from airflow_provider_kinetic.links.build import BUILD_LINK
from airflow_provider_kinetic.links.job import LINKS, push_links
from airflow_provider_kinetic.model.errors import ConfigurationError
from airflow_provider_kinetic.model.resume import check_literals
from airflow_provider_kinetic.operators.images import ImageWaiter
from airflow_provider_kinetic.operators.trials import names_its_index, resume_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_kinetic.lifecycle.submit import Submitted
    from airflow_provider_kinetic.lifecycle.work import Work
    from airflow_provider_kinetic.model.handle import JobHandle
    from airflow_provider_kinetic.model.spec import JobSpec
    from airflow_provider_kinetic.packaging.environment import Captured

Seconds = float | timedelta
RESULT_FORMATS = ("pickle", "json")


def seconds(value: Seconds | None, default: float | None = None) -> float | None:
    """A duration parameter as seconds; ``default`` where it was not given."""
    if value is None:
        return default
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


class KineticJobOperator(ImageWaiter):
    """Base of the operators that submit a job.

    :param python_callable: the function to run. It travels by value, with what it uses of its project.
    :param op_args: positional arguments of any size (templated). Where a ``Data`` is, also in lists, dicts and
        dataclasses, the function gets a path.
    :param op_kwargs: keyword arguments of any size (templated); the same holds of ``Data``.
    :param accelerator: ``"cpu"``, ``"l4"``, ``"a100x4"``, ``"tpu-v5litepod-4"``, …; ``:spot`` may be appended.
    :param container_image: None or ``"bundled"``: an image with ``requirements``, built when it is missing;
        ``"prebuilt"``: a published image, in which the job installs ``requirements`` when it starts; or the image to
        use. On the local platform a virtual environment or interpreter.
    :param base_image_repo: where prebuilt images are: ``{base_image_repo}/base-{category}`` (templated). None: the
        connection's.
    :param requirements: a list of requirements, or the path of a requirements.txt or pyproject.toml.
        None: the nearest such file above the function's own (contract 4.4).
    :param capture_env_vars: names (or ``PREFIX*``) of the worker's variables that the job gets.
    :param env_vars: variables of the job (templated). Values whose names look secret travel apart from the payload
        and are masked in the UI.
    :param secrets: variables that never enter payload, log or listing. Templated, and shown to nobody: write
        ``{"HF_TOKEN": "{{ var.value.hf_token }}"}``, and the DAG holds no secret either.
    :param volumes: data at paths of the job: ``{"/data": Data("gs://acme/{{ ds }}/")}`` (values templated).
    :param trial: name of a trial that runs share and continue (templated). In a mapped task the map index is added,
        unless the template uses it or the arguments. None: the task instance has a trial of its own.
    :param experiment: what the trial is one of (templated). None: ``{dag_id}/{task_id}``.
    :param output_dir: where the function keeps what lasts; it finds it as ``KINETIC_OUTPUT_DIR``. None: the trial's
        directory, the same one at every retry. On the local platform an absolute path will do.
    :param resume: ``"auto"``: go on, but after a clear of what has completed begin anew; ``"always"``: go on;
        ``"never"``: begin anew at every submission; ``"must"``: go on, and fail where there is no checkpoint.
        Templated; ``{"kinetic_resume": …}`` in the conf of a run stands before it.
    :param restore_from: checkpoint that a trial without one of its own begins with: a URI, a ``KineticCheckpoint``,
        or a task's XCom that is one (templated).
    :param on_mismatch: when the arguments are not those that the trial was called with before: ``"warn"`` and go on,
        ``"error"``, or ``"fresh"``: begin anew. None: ``"error"`` in a mapped task, else ``"warn"``.
    :param startup_timeout: longest time from submit to first start.
    :param run_timeout: longest time from the first start on, over all attempts.
    :param stop_grace: time between SIGTERM and SIGKILL.
    :param stall_timeout: longest time between two signs that the function gets on: a new step that it logs, saves or
        asks ``stopping`` about, or progress. After that it is ended, and a retry resumes. None: nobody looks.
    :param max_preemptions: how often the machine may be taken away within one Airflow try.
    :param labels: labels of the job's objects, for cost reports (templated).
    :param service_account: Kubernetes service account of the job (templated). None: the connection's, else ``kinetic``
        on GKE.
    :param requests: what the job's place must have, ``{"cpu": "4", "memory": "16Gi", "ephemeral-storage": "100Gi"}``
        (templated).
    :param priority_class: Kubernetes priority class (templated).
    :param queue_name: LocalQueue of Kueue that admits the job (templated). None: the connection's ``queue``. (Airflow's
        own parameter ``queue`` names the workers of the task.)
    :param secret_env: variables from Secrets that exist in the namespace: ``{"TOKEN": "secret-name/key"}`` (templated).
    :param pod_override: part of a pod template that is merged over ours, ``{"metadata": {…}, "spec": {…}}``
        (templated; ``docs/kubernetes.md``).
    :param result_format: ``"pickle"``, or ``"json"`` for a result that is never unpickled on the worker.
    :param kinetic_conn_id: connection of type ``kinetic``.
    """

    template_fields: Sequence[str] = (
        "op_args",
        "op_kwargs",
        "accelerator",
        "container_image",
        "base_image_repo",
        "requirements",
        "env_vars",
        "volumes",
        "trial",
        "experiment",
        "output_dir",
        "resume",
        "restore_from",
        "labels",
        "service_account",
        "requests",
        "priority_class",
        "queue_name",
        "secret_env",
        "pod_override",
        "project",
        "zone",
        "cluster",
        "namespace",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("op_args", "op_kwargs"), "py"),
        **dict.fromkeys(("env_vars", "volumes", "labels", "requests", "secret_env", "pod_override"), "json"),
    }
    shallow_copy_attrs: Sequence[str] = ("python_callable",)
    operator_extra_links = (*LINKS, BUILD_LINK)
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any] | None = None,
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        accelerator: str = "tpu-v5e-1",
        container_image: str | None = None,
        base_image_repo: str | None = None,
        requirements: Sequence[str] | str | None = None,
        capture_env_vars: Sequence[str] | None = None,
        env_vars: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        project: str | None = None,
        zone: str | None = None,
        cluster: str | None = None,
        namespace: str | None = None,
        backend: str | None = None,
        volumes: Mapping[str, Any] | None = None,
        spot: bool = False,
        debug: bool = False,
        trial: str | None = None,
        experiment: str | None = None,
        output_dir: str | None = None,
        resume: str = "auto",
        restore_from: Any = None,
        on_mismatch: str | None = None,
        startup_timeout: Seconds | None = None,
        run_timeout: Seconds | None = None,
        stop_grace: Seconds | None = None,
        stall_timeout: Seconds | None = None,
        max_preemptions: int | None = None,
        labels: Mapping[str, str] | None = None,
        service_account: str | None = None,
        requests: Mapping[str, str] | None = None,
        priority_class: str | None = None,
        queue_name: str | None = None,
        secret_env: Mapping[str, str] | None = None,
        pod_override: Mapping[str, Any] | None = None,
        result_format: str = "pickle",
        kinetic_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if python_callable is not None:
            self.python_callable = python_callable
        self.op_args = op_args or ()
        self.op_kwargs = op_kwargs or {}
        self.accelerator = accelerator
        self.container_image = container_image
        self.base_image_repo = base_image_repo
        self.requirements = requirements
        self.capture_env_vars = capture_env_vars
        self.env_vars = env_vars
        self.secrets = secrets
        self.project = project
        self.zone = zone
        self.cluster = cluster
        self.namespace = namespace
        self.backend = backend
        self.volumes = volumes
        self.spot = spot
        self.debug = debug
        self.trial = trial
        self.experiment = experiment
        self.output_dir = output_dir
        self.resume = resume
        self.restore_from = restore_from
        self.on_mismatch = on_mismatch
        self._names_its_index = names_its_index(trial)
        check_literals(resume=resume, on_mismatch=on_mismatch, restore_from=restore_from)
        self.startup_timeout = startup_timeout
        self.run_timeout = run_timeout
        self.stop_grace = stop_grace
        self.stall_timeout = stall_timeout
        self.max_preemptions = max_preemptions
        self.labels = labels
        self.service_account = service_account
        self.requests = requests
        self.priority_class = priority_class
        self.queue_name = queue_name
        self.secret_env = secret_env
        self.pod_override = pod_override
        self.result_format = result_format
        self.kinetic_conn_id = kinetic_conn_id
        if result_format not in RESULT_FORMATS:
            raise ConfigurationError(
                f"`result_format` is {result_format!r}; it must be one of {', '.join(RESULT_FORMATS)}."
            )

    @cached_property
    def hook(self) -> KineticHook:
        """The hook of the connection, with the places that this task gives itself."""
        places = {name: getattr(self, name) for name in ("project", "zone", "cluster", "namespace")}
        return KineticHook(self.kinetic_conn_id, overrides=places)

    def submit(self, context: Context, *, defers: bool = False) -> Submitted:
        """Make sure that this task instance's job exists; adopt or find the result of an earlier try's.

        :param defers: a job whose image is missing is left to a trigger, where its order may lie in the store.
        """
        from airflow_provider_kinetic.hooks.journal import TaskStateJournal
        from airflow_provider_kinetic.lifecycle.submit import ensure

        self.check_parameters()
        work = self._work(context)
        with self.ending_builds():
            submitted = ensure(
                self.hook.ports,
                self.hook.target,
                work,
                TaskStateJournal(context["task_state_store"]),
                say=lambda line: self.log.info("%s", line),
                reach=lambda handle: KineticHook.of(handle, self.kinetic_conn_id).ports,
                waiting=self.waiting(context, defers=defers),
            )
        if submitted.pending is None:
            self._build = None  # there is none any more that could be cancelled
        self.announce(context, submitted.handle)
        return submitted

    def check_parameters(self, *, submitting: bool = True) -> None:
        """Refuse what the platform cannot honour; a job that is only attached to has its accelerator already.

        :raises UnsupportedParameter: names the parameter and the platforms that honour it.
        """
        from airflow_provider_kinetic.model import parameters

        names = set(parameters.SUPPORT) - (set() if submitting else {"accelerator"})
        given = {name: getattr(self, name, None) for name in parameters.SUPPORT if name in names}
        for warning in parameters.check(self.hook.target, given):
            self.log.warning("%s", warning)

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        """Airflow masks fewer names than we treat as secret, and shows rendered fields before it executes."""
        from airflow_provider_kinetic.packaging.environment import split

        super()._do_render_template_fields(*args, **kwargs)
        if isinstance(self.env_vars, Mapping):
            _mask(split(_texts(self.env_vars)).masked)

    def announce(self, context: Context, handle: JobHandle) -> None:
        """Push the XComs and links of a job."""
        push_handle(context, handle)
        push_links(context, handle.to_dict())

    def _work(self, context: Context) -> Work:
        from airflow_provider_kinetic.hooks.arguments import plain_call
        from airflow_provider_kinetic.lifecycle.arguments import Arguments
        from airflow_provider_kinetic.lifecycle.work import Work

        function, environment = self._function(), self._environment(context)
        args, kwargs = plain_call(tuple(self.op_args), self._call_kwargs(context, function))
        injected = [name for name, value in kwargs.items() if value is not None and self.op_kwargs.get(name) is None]
        return Work(
            function=function,
            args=args,
            kwargs=kwargs,
            spec=self._spec(function, environment.plain),
            identity=identity_of(context),
            max_tries=context["ti"].max_tries,
            secrets=environment.secret,
            output_dir=self.output_dir,
            resume=resume_of(self, context, with_index=not self._names_its_index),
            arguments=Arguments.of(function, args, kwargs, omit=injected),
            shown=[name for name in environment.secret if name not in environment.masked],
        )

    def _environment(self, context: Context) -> Captured:
        """The job's variables; the secret ones are masked in the task's log from now on."""
        from airflow_provider_kinetic.packaging.environment import Captured, capture, split

        captured, given = capture(self.capture_env_vars, os.environ), split(_texts(self.env_vars))
        # `secrets` is rendered here because template fields are stored and shown
        named = _texts(self.render_template(dict(self.secrets or {}), context))
        secret = {**captured.secret, **given.secret, **named}
        plain = {name: value for name, value in {**captured.plain, **given.plain}.items() if name not in secret}
        variables = Captured(plain, secret, frozenset(named))
        _mask(variables.masked)
        return variables

    def _function(self) -> Callable[..., Any]:
        function = getattr(self, "python_callable", None)
        if not callable(function):
            raise ConfigurationError(
                f"Task {self.task_id!r} has no function to run.",
                advice="Pass `python_callable=`, use `@task.kinetic`, or pass `job_id=` to attach to a job.",
            )
        return function  # type: ignore[no-any-return]

    def _call_kwargs(self, context: Context, function: Callable[..., Any]) -> dict[str, Any]:
        from airflow_provider_kinetic.operators.context_values import inject

        return inject(function, self.op_args, self.op_kwargs, context)

    def _spec(self, function: Callable[..., Any], env: Mapping[str, str]) -> JobSpec:
        from airflow_provider_kinetic.hooks.settings import load_settings
        from airflow_provider_kinetic.model.spec import JobSpec

        settings = load_settings()
        return JobSpec(
            func_name=getattr(function, "__name__", type(function).__name__),
            accelerator=self.accelerator,
            container_image=self._image(),
            base_image_repo=self.base_image_repo,
            backend=self.backend,
            spot=self.spot,
            env=env,
            requirements=self._requirements(function),
            result_format=self.result_format,
            startup_timeout=seconds(self.startup_timeout, settings.startup_timeout),
            run_timeout=seconds(self.run_timeout, settings.run_timeout),
            stop_grace=seconds(self.stop_grace, settings.stop_grace) or 0.0,
            stall_timeout=seconds(self.stall_timeout),
            max_preemptions=settings.max_preemptions if self.max_preemptions is None else self.max_preemptions,
            labels=_texts(self.labels),
            volumes=dict(self.volumes or {}),
            service_account=self.service_account or None,
            queue=self.queue_name or None,
            priority_class=self.priority_class or None,
            requests=_texts(self.requests),
            secret_env=_texts(self.secret_env),
            pod_override=dict(self.pod_override or {}),
        )

    def _image(self) -> str | None:
        """Where machines are emulated (``parameters.check``) an environment built here stands for a prebuilt image."""
        from airflow_provider_kinetic.model.parameters import PREBUILT

        emulated = self.container_image == PREBUILT and self.hook.target.platform == "local"
        return None if emulated else self.container_image

    def _requirements(self, function: Callable[..., Any]) -> str | None:
        """Filtered requirements of a bundled or prebuilt image; None where the image was named."""
        from airflow_provider_kinetic.model.parameters import PREBUILT
        from airflow_provider_kinetic.operators.requirements import folder_of, requirements_text

        image = self._image()
        if image not in (None, "bundled", PREBUILT):
            return None
        return requirements_text(
            self.requirements,
            folder_of(function),
            lambda line: self.log.warning("%s", line),
            prebuilt=image == PREBUILT,
        )

    def actor(self, context: Context) -> str:
        return describe(context)


def _texts(variables: Mapping[str, Any] | None) -> dict[str, str]:
    """Rendered to native objects, a variable may have become a number."""
    return {name: str(value) for name, value in (variables or {}).items()}


def _mask(variables: Mapping[str, str]) -> None:
    """Have Airflow hide the values in rendered fields and in the task's log."""
    from airflow.sdk.log import mask_secret

    for value in variables.values():
        mask_secret(value)
