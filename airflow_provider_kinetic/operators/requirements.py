"""Requirements as an operator was given them, or as they stand beside its function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_kinetic.packaging import requirements


def mask_passwords(text: str) -> None:
    """Have Airflow hide passwords of package indexes in rendered fields and in the task's log."""
    from airflow.sdk.log import mask_secret

    from airflow_provider_kinetic.job.redaction import passwords_in

    for password in passwords_in(text):
        mask_secret(password)


def folder_of(function: Callable[..., Any]) -> Path:
    """Where requirements are looked for: beside the function's own file, else in the current folder (contract 4.4)."""
    try:
        return Path(inspect.getfile(inspect.unwrap(function))).parent
    except TypeError:
        return Path.cwd()


def requirements_text(
    value: Sequence[str] | str | None, folder: Path, warn: Callable[[str], None], *, prebuilt: bool = False
) -> str:
    """Filtered text for a bundled image (contract 4.4, 4.5).

    :param value: a list; a file relative to ``folder``, of which ``pyproject.toml[extra]`` and ``pyproject.toml:group``
        name more than the project's dependencies; or None to look for a file from ``folder`` upwards.
    :param prebuilt: the job installs them when it starts.
    :raises RequirementsError: a line is no requirement or cannot be installed elsewhere, or there is no such file.
    """
    text = _given(value, folder, warn)
    mask_passwords(text)
    return requirements.filter_prebuilt(text) if prebuilt else requirements.filter_bundled(text)


def _given(value: Sequence[str] | str | None, folder: Path, warn: Callable[[str], None]) -> str:
    if value is not None:
        return requirements.from_parameter(value, base=folder)
    found = requirements.discover(folder)
    if found is None:
        return ""
    for warning in found.warnings:
        warn(warning)
    return found.text
