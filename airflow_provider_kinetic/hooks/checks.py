"""What the Test of a connection tries, one named check after another.

Later checks run although an earlier one failed, unless they cannot: one look shows everything that has to be set right.
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_kinetic.hooks.check import Check, attempt, summary, writable
from airflow_provider_kinetic.model.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_kinetic.lifecycle.ports import Ports
    from airflow_provider_kinetic.model.target import Target

__all__ = ["Check", "check_target", "summary"]


def check_target(ports: Ports, target: Target) -> list[Check]:
    """Every check of the target, in the order in which a first job would meet it.

    Leaves no object behind; never raises for what it finds.
    """
    settings = attempt("settings", _settings, "Correct section [kinetic] of airflow.cfg.")
    if target.platform in ("gke", "kubernetes"):
        from airflow_provider_kinetic.hooks.cloud_checks import check_cloud

        return [settings, *check_cloud(ports, target)]
    return [
        settings,
        attempt(
            "store",
            lambda: writable(ports.store, target.store_root),
            "Check that `bucket` exists and that this user may write to it.",
        ),
        attempt(
            "outputs",
            lambda: writable(ports.store, target.output_root),
            "Set `output_root` to a place that can be written.",
        ),
        attempt("cluster", ports.cluster.check, "Check `cluster` and `namespace` of the connection."),
        attempt("accelerators", lambda: _accelerators(target), ""),
        attempt("environments", _environments, "Install uv: `pip install uv`."),
    ]


def _settings() -> str:
    from airflow_provider_kinetic.hooks.settings import Settings, load_settings

    settings, usual = vars(load_settings()), vars(Settings())
    changed = ", ".join(f"{name} = {value}" for name, value in settings.items() if value != usual[name])
    return changed or "all defaults"


def _accelerators(target: Target) -> str:
    if target.emulate_accelerators:
        return "TPUs and GPUs are emulated on the CPU of this machine"
    return "only cpu; set `emulate_accelerators` to run jobs for TPUs and GPUs on the CPU"


def _environments() -> str:
    """Whether the local builder would find something that makes environments."""
    beside = str(Path(sysconfig.get_path("scripts")) / "uv")
    for uv in (shutil.which("uv"), beside):
        if uv and _works(uv):
            return f"made by {uv}"
    if find_spec("ensurepip"):
        return "made by pip, which is slower than uv"
    raise ConfigurationError(
        "There is neither uv nor pip to make environments.", advice="Install uv: `pip install uv`."
    )


def _works(executable: str) -> bool:
    """A shim of a version manager may stand on PATH with nothing behind it."""
    try:
        return subprocess.run([executable, "--version"], capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
