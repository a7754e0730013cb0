"""When to save and leave: what a training loop asks, and what follows from the answer (``checkpointing`` 3.8).

Where several processes compute together they must leave at the same step: JAX knows which, or a collective of the
user's, or they agree through the store.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module

from airflow_provider_kinetic.job.training.hosts import jax_listens
from airflow_provider_kinetic.job.training.hosts_stop import Agreement
from airflow_provider_kinetic.job.training.notice import Notice
from airflow_provider_kinetic.job.training.saving import Fence, Saver
from airflow_provider_kinetic.model.errors import Preempted

LEAVES = "It is given up: this attempt was asked to stop, and another one continues from the last checkpoint."


class Leaving:
    """The part of a trial that is about its end."""

    _agreement: Agreement | None = None
    """Of several processes."""

    def __init__(self, notice: Notice, fence: Fence, saver: Saver) -> None:
        self._notice = notice
        self._fence = fence
        self._saver = saver
        self._jax = SyncPoint()
        self._said: bool | None = None
        """The last answer; None before the first."""
        self._elsewhere = False
        """A collective of the user's decides."""
        self.asked_at: int | None = None
        """Step of the last question: who asks at every step gets on."""
        self._left = False
        """It was told to end; an interpreter that ends by ``SystemExit`` does not say so."""
        self.acknowledged = False
        """It ends because it was told to, whatever its code returns."""

    def stopping(self, step: int | None = None, *, agree: Callable[[bool], bool] | None = None) -> bool:
        """Whether to save and leave now: this attempt was asked to stop, or a newer one has begun.

        Of several processes each calls it with the same steps, and all get the same answer: at once with
        ``jax.distributed``, else some seconds later through the store.

        :param agree: a collective of your own, such as a maximum over all processes: takes whether this machine must
            stop, gives whether any must. It is called by every call of this.
        :raises ValueError: of several processes, without a step.
        """
        self.asked_at = step
        self._elsewhere = agree is not None
        if agree is not None:
            self._said = bool(agree(bool(self._said) or self._notice.heard() or self._fence.fallen))
            return self._said
        return self._ask(step) or self._replaced

    def look(self, step: int) -> None:
        """A save of this step has begun, of every process: who was asked to stop before may leave after it, also where
        that makes the loop ask no more."""
        if not self._elsewhere:
            self._ask(step)

    def _ask(self, step: int | None) -> bool:
        if jax_listens() and step is not None:
            self._said = self._said or self._jax.reached(step) or self._reached(step)
        elif self._agreement is not None:
            self._said = self._said or self._agreement.reached(step)
        else:
            self._said = self._notice.heard()
        return self._said

    def _reached(self, step: int) -> bool:
        """JAX knows of a stop and nothing of a newer attempt."""
        return self._agreement is not None and self._agreement.reached(step)

    @property
    def _replaced(self) -> bool:
        """Each process learns it at its own time, so of several none leaves for it before all have said so."""
        return self._fence.fallen and (self._agreement is None or bool(self._said))

    @property
    def hears_stops(self) -> bool:
        """False outside of a job when the trial was begun in a thread: Python tells the main thread alone."""
        return self._notice.listens

    @property
    def time_left(self) -> float:
        """Seconds until this process is ended; infinite while nobody asked it to stop."""
        return self._notice.left

    @property
    def stop_reason(self) -> str:
        """``"superseded"``, ``"preempted"``, or empty."""
        if self._fence.fallen:
            return "superseded"
        return "preempted" if self._said or self._notice.heard() else ""

    def exit_if_stopping(self) -> None:
        """End here when it is time, after what is on its way was saved; what goes wrong there is a warning by then.

        It follows the last answer of :meth:`stopping` or the last ``save``, so that a stop between the two does not
        cost a checkpoint.

        :raises Preempted: a ``SystemExit`` with code 143. :class:`Superseded`, its subclass: a newer attempt has begun.
        """
        if self._replaced:
            self._fence.check()
        if self._said is None:
            self._said = self.told
        if self._said:
            try:
                self._saver.wait()
            except Exception as error:
                warnings.warn(f"{error} {LEAVES}", stacklevel=2)
            self._left = True
            raise Preempted(advice="Another attempt continues from the last checkpoint.")

    @property
    def told(self) -> bool:
        """To stop; of several processes when all of them know it."""
        return bool(self._said) or (self._alone and self._notice.heard())

    def acknowledge(self) -> None:
        """The code ends by itself without having finished: of loops that leave by ``break`` and not by an exception."""
        self._left = self.acknowledged = True

    @property
    def _alone(self) -> bool:
        return self._agreement is None and not jax_listens()


class SyncPoint:
    """JAX's word on whether all processes stop.

    It says yes at one number alone: one more than the largest that any of them has asked about when the stop came, 1
    before the first. A loop need not ask at every step, so what follows the last question is asked as well.
    """

    def __init__(self) -> None:
        self._last = 0

    def reached(self, step: int) -> bool:
        """Every process asks at the same steps."""
        following, self._last = self._last + 1, step
        return (following < step and agreed(following)) or agreed(step)


def agreed(step: int) -> bool:
    """Whether this is the step."""
    multihost_utils = import_module("jax.experimental.multihost_utils")
    return bool(multihost_utils.reached_preemption_sync_point(step))
