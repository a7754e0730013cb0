"""Values of Airflow's context that a function asks for by parameter name.

TaskFlow functions may name ``ds``, ``params`` or ``run_id`` as parameters and get them. A job gets
those that are plain data; a live object (``ti``, ``conn``, …) cannot leave the worker, and asking for one is an error.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_kinetic.model.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Context

PLAIN = frozenset(
    {
        "ds",
        "ds_nodash",
        "ts",
        "ts_nodash",
        "ts_nodash_with_tz",
        "run_id",
        "logical_date",
        "data_interval_start",
        "data_interval_end",
        "prev_data_interval_start_success",
        "prev_data_interval_end_success",
        "prev_start_date_success",
        "prev_end_date_success",
        "start_date",
        "map_index_template",
        "partition_key",
        "partition_date",
        "task_instance_key_str",
        "expanded_ti_count",
        "test_mode",
        "params",
    }
)


def inject(
    function: Callable[..., Any], args: Collection[Any], kwargs: Mapping[str, Any], context: Context
) -> dict[str, Any]:
    """``kwargs`` with the context values that the function's own parameters name.

    :raises ConfigurationError: a parameter names a context value that only lives on the worker.
    """
    from airflow.sdk.definitions.context import KNOWN_CONTEXT_KEYS

    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return dict(kwargs)
    wanted = [name for name in names[len(args) :] if name in KNOWN_CONTEXT_KEYS and kwargs.get(name) is None]
    for name in wanted:
        if name not in PLAIN:
            raise ConfigurationError(
                f"`{name}` of {getattr(function, '__name__', function)}() is a value of Airflow's context that "
                "cannot leave the worker.",
                advice="Pass what the function needs of it as an argument, for example a templated string.",
            )
    return {**kwargs, **{name: _plain(name, context) for name in wanted}}


def _plain(name: str, context: Context) -> Any:
    value: Any = context.get(name)
    if name == "params":
        return dict(value or {})
    # pendulum times would make the job import pendulum
    iso = getattr(value, "isoformat", None)
    if iso is None or isinstance(value, str):
        return value
    from datetime import datetime

    return datetime.fromisoformat(iso())
