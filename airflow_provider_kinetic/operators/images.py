"""What operators that may need an image built have in common: whose build it is, and who hears of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_provider_kinetic.hooks.task import push_build
from airflow_provider_kinetic.links.build import push_build_link
from airflow_provider_kinetic.operators.interruptible import Interruptible, Killed
from airflow_provider_kinetic.operators.killing import goes_on, is_last_try

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_kinetic.hooks.kinetic import KineticHook
    from airflow_provider_kinetic.lifecycle.images import Waiting
    from airflow_provider_kinetic.model.images import Build

PATIENCE = 3.0
"""Seconds for the cancellation of a build by a worker that is killed: it has five before SIGKILL (``airflow`` 3.3)."""


class ImageWaiter(Interruptible):
    """Mixin state of an operator whose image may be missing.

    A build that this task has started ends with the task; one that it joined belongs to another task.
    """

    requirements: Sequence[str] | str | None

    _build: Build | None = None
    """The one that is waited for."""

    @property
    def hook(self) -> KineticHook:
        """The hook whose builder builds."""
        raise NotImplementedError

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        """Rendered fields are stored and shown; a line of requirements may name an index with its password."""
        from airflow_provider_kinetic.operators.requirements import mask_passwords

        super()._do_render_template_fields(*args, **kwargs)
        mask_passwords(str(self.requirements))

    def waiting(self, context: Context, *, defers: bool) -> Waiting:
        """How this task waits for an image."""
        from airflow_provider_kinetic.lifecycle.images import Waiting

        def note(build: Build) -> None:
            self._build = build
            push_build(context, build)
            push_build_link(context, build.log_url)

        self._ti = context["ti"]
        return Waiting(defers=defers, poll=self._poll(), sleep=self._sleep, note=note)

    def on_kill(self) -> None:
        """Take the build down with the task, unless another try goes on with it."""
        super().on_kill()
        if self._build is not None and self._taken_away():
            self.abandon()

    @contextmanager
    def ending_builds(self) -> Iterator[None]:
        """What is waited for in here ends with the task's time, and with a task that was killed before it began."""
        try:
            yield
        except AirflowTaskTimeout:
            self.abandon()
            raise
        except Killed:
            if self._build is not None and self._taken_away():
                self.abandon()
            raise

    def _taken_away(self) -> bool:
        return is_last_try(self._ti) or not goes_on(self._ti)

    def abandon(self) -> None:
        """Cancel the build that is waited for, if this task started it.

        In a thread: a signal may have interrupted a request of this one, whose locks are not reentrant.
        """
        build, self._build = self._build, None
        if build is None or not build.started_by_us or getattr(self, "cancel_on_kill", None) is False:
            return
        builder, done, failed = self.hook.ports.builder, threading.Event(), []

        def cancel() -> None:
            try:
                builder.cancel(build)
            except Exception as error:
                failed.append(error)
            done.set()

        threading.Thread(target=cancel, daemon=True).start()
        if done.wait(PATIENCE) and not failed:
            self.log.info("The build of image %s is cancelled", build.tag)
        else:
            why = failed[0] if failed else f"no answer within {PATIENCE:g} s"
            self.log.warning("The build of image %s could not be cancelled, and goes on: %s", build.tag, why)
