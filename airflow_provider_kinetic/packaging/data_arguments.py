"""The ``Data`` among the arguments of a call, and the call with references in their place (contract 6.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_kinetic.job.containers import Irreplaceable, Nested
from airflow_provider_kinetic.job.references import FUSE_FOLDER, DataReference
from airflow_provider_kinetic.model.data import Data
from airflow_provider_kinetic.model.errors import ConfigurationError

_ADVICE = "Pass Data as an argument of its own or inside of lists, tuples, values of dicts, or fields of dataclasses."


class DataArguments:
    """What one call needs. Nothing is changed, and nothing is looked at but the arguments.

    :raises ConfigurationError: a ``Data`` is a member of a set or part of a dict's key, or was not rendered.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        try:
            self._nested = Nested([tuple(args), dict(kwargs)], lambda value: isinstance(value, Data))
        except Irreplaceable as refusal:
            raise _refused(refusal) from refusal
        self.places: dict[str, Data] = {}
        """Each object once, under the words for where it stands."""
        alike: Counter[str] = Counter()  # two keys of a dict may look the same
        for data in self._nested.found:
            words = place(self._nested.steps_to(data))
            alike[words] += 1
            self.places[words if alike[words] == 1 else f"{words} ({alike[words]})"] = data
        self.data: tuple[Data, ...] = tuple(dict.fromkeys(self._nested.found))
        """Equal values once, in the order of the arguments."""
        for where, data in self.places.items():
            refuse_template(data, where)

    @property
    def mounts(self) -> dict[Data, str]:
        """Mount path of each value that asks for FUSE, numbered in the order of the arguments."""
        wanting = [data for data in self.data if data.fuse]
        return {data: f"{FUSE_FOLDER}/{number}" for number, data in enumerate(wanting)}

    def with_references(
        self, references: Mapping[Data, DataReference], warn: Callable[[str], None]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments for the payload; the same objects as before where no ``Data`` is.

        :raises ConfigurationError: a container on the way to a ``Data`` contains itself through a tuple.
        """
        wire = {data: reference.to_wire() for data, reference in references.items()}
        try:
            args, kwargs = self._nested.replaced(lambda data: wire[data])
        except Irreplaceable as refusal:
            raise _refused(refusal) from refusal
        except RecursionError as error:
            raise ConfigurationError("Data lies too deep inside of an argument.", advice=_ADVICE) from error
        for name in self._nested.flattened:
            warn(f"A {name} among the arguments holds Data and cannot be copied: the job gets the plain builtin type.")
        return args, kwargs


def refuse_template(data: Data, where: str) -> None:
    """:raises ConfigurationError: ``data`` still is a template when the task runs."""
    if data.is_template:
        raise ConfigurationError(
            f"{where} is {data.path}, a template that was not rendered.",
            advice="Airflow renders templated fields alone; values of `expand` and of XCom are taken as they are.",
        )


def place(steps: tuple[int | str, ...]) -> str:
    """Steps from ``[args, kwargs]`` in the words of a caller: ``argument 0['train'][2]``."""
    group, name, *rest = steps
    return (f"keyword argument {name!r}" if group == 1 else f"argument {name}") + "".join(
        f"[{step!r}]" for step in rest
    )


def _refused(refusal: Irreplaceable) -> ConfigurationError:
    return ConfigurationError(f"{place(refusal.steps)}: Data is {refusal.reason}.", advice=_ADVICE)
