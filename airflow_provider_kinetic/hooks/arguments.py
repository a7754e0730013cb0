"""What Airflow hands to a task in a form of its own becomes what can be sent to a job.

The values of a mapped task arrive as a sequence that asks Airflow for each item. A job cannot ask, and ``Data`` among
the items must be found before anything is sent: the sequence becomes a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_kinetic.job.containers import Irreplaceable, Nested
from airflow_provider_kinetic.model.errors import ConfigurationError


def plain_call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments with lists for lazy sequences at any depth; the same objects where none is.

    :raises ConfigurationError: a lazy sequence is a member of a set, which no list can be.
    """
    from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

    try:
        nested = Nested([tuple(args), dict(kwargs)], lambda value: isinstance(value, LazyXComSequence))
        plain_args, plain_kwargs = nested.replaced(list)
    except Irreplaceable as refusal:
        raise ConfigurationError(
            f"The values of a mapped task are {refusal.reason}, where a list cannot be.",
            advice="Pass them as an argument of their own, or in a list or dict.",
        ) from refusal
    return plain_args, plain_kwargs
