"""What the Test of a connection tries, one named check after another.

Each check says what it found or why it failed and what to do. Later ones run although an earlier one
failed, unless they cannot: one look shows everything that has to be set right.
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_kinetic.model.errors import ConfigurationError, KineticError, StoreError

if TYPE_CHECKING:
    from airflow_provider_kinetic.lifecycle.ports import Ports
    from airflow_provider_kinetic.model.target import Target


@dataclass(frozen=True)
class Check:
    """One finding. ``advice`` is empty when all is well."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


def check_target(ports: Ports, target: Target) -> list[Check]:
    """Every check of the target, in the order in which a first job would meet it.

    Leaves no object behind; never raises for what it finds.
    """
    return [
        _run("settings", _settings, "Correct section [kinetic] of airflow.cfg."),
        _run(
            "store",
            lambda: _writable(ports, target.store_root),
            "Check that `bucket` exists and that this user may write to it.",
        ),
        _run(
            "outputs", lambda: _writable(ports, target.output_root), "Set `output_root` to a place that can be written."
        ),
        _run("cluster", ports.cluster.check, "Check `cluster` and `namespace` of the connection."),
        _run("accelerators", lambda: _accelerators(target), ""),
        _run("environments", lambda: _environments(target), "Install uv: `pip install uv`."),
    ]


def summary(checks: Sequence[Check]) -> tuple[bool, str]:
    """Whether all is well, and a text for a person: what failed and what to do, else what was found."""
    failed = [check for check in checks if not check.ok]
    if failed:
        lines = [f"{check.name} failed: {check.detail} {check.advice}".strip() for check in failed]
        passed = ", ".join(check.name for check in checks if check.ok)
        return False, "\n".join([*lines, f"Passed: {passed or 'none'}."])
    return True, "\n".join(f"{check.name}: {check.detail}" for check in checks)


def _run(name: str, look: Callable[[], str], advice: str) -> Check:
    try:
        return Check(name, True, look())
    except KineticError as error:
        return Check(name, False, error.summary, error.advice or advice)
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {error}", advice)


def _settings() -> str:
    from airflow_provider_kinetic.hooks.settings import Settings, load_settings

    settings, usual = vars(load_settings()), vars(Settings())
    changed = ", ".join(f"{name} = {value}" for name, value in settings.items() if value != usual[name])
    return changed or "all defaults"


def _writable(ports: Ports, root: str) -> str:
    probe = f"{root}/.kinetic-check-{uuid.uuid4().hex}"
    data = probe.encode()
    ports.store.write(probe, data)
    try:
        if ports.store.read(probe) != data:
            raise StoreError(f"{root} gave back other bytes than were written.", advice="Check the storage itself.")
    finally:
        ports.store.delete(probe)
    return f"{root} can be read and written"


def _accelerators(target: Target) -> str:
    if target.platform != "local":
        return "as the node pools of the cluster offer them"
    if target.emulate_accelerators:
        return "TPUs and GPUs are emulated on the CPU of this machine"
    return "only cpu; set `emulate_accelerators` to run jobs for TPUs and GPUs on the CPU"


def _environments(target: Target) -> str:
    """Whether the local builder would find something that makes environments."""
    if target.platform != "local":
        return "images are built in the cloud"
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
