"""Requirements as an operator was given them, or as they stand beside its function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from airflow_provider_kinetic.packaging import requirements


def requirements_text(value: Sequence[str] | str | None, folder: Path, warn: Callable[[str], None]) -> str:
    """Filtered text for a bundled image (contract 4.4, 4.5).

    :param value: a list, the path of a file relative to ``folder``, or None to look for a file from ``folder`` upwards.
    :raises RequirementsError: a line is no requirement, or there is no such file.
    """
    if value is not None:
        return requirements.filter_bundled(requirements.from_parameter(value, base=folder))
    found = requirements.discover(folder)
    if found is None:
        return ""
    for warning in found.warnings:
        warn(warning)
    return requirements.filter_bundled(found.text)
