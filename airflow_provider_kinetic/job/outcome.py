"""What became of the user's call, and the dict that says so (``contract`` 5.5, 7.5).

Errors of our own are builtins: whoever reads a result may not have this package.
"""

from __future__ import annotations

import contextlib
import traceback as tracebacks
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_kinetic.job import phases
from airflow_provider_kinetic.job.plain import plain
from airflow_provider_kinetic.job.redaction import redact
from airflow_provider_kinetic.model.errors import KineticError

REPR_LIMIT = 20_000
TYPE_LIMIT = 200
"""The termination message has room for a name, not for any name."""


@dataclass(frozen=True)
class Outcome:
    """Result or error of one start."""

    success: bool
    phase: str = phases.EXECUTE
    result: Any = None
    exception: BaseException | None = None
    traceback: str | None = None
    result_repr: str | None = None
    """Set when the value or exception could not be serialized."""
    own: Mapping[str, Any] | None = None
    """``type`` and ``KineticError.to_dict`` of an exception of ours: it travels as words, so that any reader can open a
    result."""

    @classmethod
    def raised(cls, error: BaseException) -> Outcome:
        """The user's code raised; the runner's own frame is left out of the text."""
        text = "".join(tracebacks.format_exception(type(error), error, _skip(error)))
        if isinstance(error, KineticError):
            own = {"type": type(error).__name__, **error.to_dict()}
            return cls(False, exception=RuntimeError(f"{own['type']}: {error}"), traceback=text, own=own)
        if isinstance(error, Exception):
            return cls(False, exception=error, traceback=text)
        return cls(False, exception=RuntimeError(describe(error)), traceback=text)

    @classmethod
    def exited(cls, leaving: SystemExit) -> Outcome:
        """``sys.exit()`` and ``sys.exit(0)`` are a success without a value."""
        if leaving.code is None or leaving.code == 0:
            return cls(True)
        text = "".join(tracebacks.format_exception(SystemExit, leaving, _skip(leaving)))
        return cls(False, exception=RuntimeError(f"The function called sys.exit({leaving.code!r})"), traceback=text)

    @classmethod
    def failed(cls, phase: str, error: BaseException, hint: str = "") -> Outcome:
        """Set-up failed before the user's function was called."""
        text = "".join(tracebacks.format_exception(type(error), error, error.__traceback__))
        message = f"The job failed during {phase}: {describe(error)}" + (f"\n{hint}" if hint else "")
        return cls(False, phase, exception=RuntimeError(message), traceback=text)

    @classmethod
    def refused(cls, phase: str, message: str) -> Outcome:
        """The runner decided not to go on."""
        return cls(False, phase, exception=RuntimeError(message))

    def unserializable(self, error: BaseException, form: str) -> Outcome:
        """The same, in words: what should have travelled cannot be written as ``form``."""
        value = self.result if self.success else self.exception
        what = f"value of type {_name(type(value))}" if self.success else f"exception {describe(value)}"
        message = f"The function's {what} cannot be written as {form}: {describe(error)}"
        return Outcome(
            False,
            phases.SERIALIZATION,
            exception=RuntimeError(message),
            traceback=self.traceback,
            result_repr=_repr(value),
        )

    def redacted(self, environ: Mapping[str, str]) -> Outcome:
        """Without the values of secret variables: whoever opens a result may not know them."""
        if self.exception is not None:
            _redact_arguments(self.exception, environ)
        return replace(
            self,
            traceback=self.traceback and redact(self.traceback, environ),
            result_repr=self.result_repr and redact(self.result_repr, environ),
            own=self.own and {name: _redacted(value, environ) for name, value in self.own.items()},
        )

    def payload(self, host_index: int) -> dict[str, Any]:
        """Key order matters: ``success`` comes first, see :mod:`~airflow_provider_kinetic.job.delivery`."""
        content: dict[str, Any] = {
            "success": self.success,
            "result": self.result,
            "exception": self.exception,
            "traceback": self.traceback,
            "phase": self.phase,
            "host_index": host_index,
        }
        if self.result_repr is not None:
            content.update(serialization_failed=True, result_repr=self.result_repr)
        if self.own is not None:
            content["kinetic"] = self.own
        return content

    def kind(self) -> dict[str, Any]:
        """Of a value: its ``type``, and whether ``json`` keeps it as it is. Whoever reads this need not open it."""
        return {"type": _name(type(self.result))[:TYPE_LIMIT], "json": plain(self.result)} if self.success else {}

    def error(self) -> dict[str, str] | None:
        """Type and message; None for a success."""
        if self.exception is None:
            return None
        if self.own is not None:
            return {"type": self.own["type"], "text": self.own["summary"]}
        return {"type": _name(type(self.exception)), "text": _text(self.exception)}


def describe(error: object) -> str:
    """``TypeError: text``."""
    return f"{_name(type(error))}: {_text(error)}"


def _redact_arguments(error: BaseException, environ: Mapping[str, str]) -> None:
    """In place: what an exception says is made of its arguments, and no other type would be caught as it was."""
    arguments = tuple(_redacted(each, environ) for each in error.args)
    if any(new is not old for new, old in zip(arguments, error.args)):
        with contextlib.suppress(Exception):
            error.args = arguments


def _redacted(value: Any, environ: Mapping[str, str]) -> Any:
    """The very same where nothing is hidden."""
    if not isinstance(value, str):
        return value
    text = redact(value, environ)
    return value if text == value else text


def _skip(error: BaseException) -> Any:
    """The traceback without the frame that called the user's function."""
    return error.__traceback__.tb_next if error.__traceback__ else None


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _text(error: object) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"<no text: {type(broken).__name__}>"


def _repr(value: object) -> str:
    try:
        return repr(value)[:REPR_LIMIT]
    except Exception as broken:
        return f"<no repr: {type(broken).__name__}>"
