"""An Airflow of our own for every test run: set before anything imports Airflow, and free for those who never do."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

HOME = Path(tempfile.mkdtemp(prefix="kinetic-tests-"))

LONGEST_ID = 100
"""Characters of a parameter in the name of a test."""

os.environ.update(
    {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-tests-only-for-tests-only-for-tests",
        "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(HOME / "plugins"),
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `pytest -m cluster` needs of a real cluster, which KUBECONFIG names (docs/testing.md)."""
    group = parser.getgroup("kinetic", "a real cluster for `-m cluster`; KUBECONFIG names it")
    group.addoption("--gcs-endpoint", default="", help="URL of a Cloud Storage that its pods and this machine reach")
    here = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    group.addoption("--job-image", default=here, help="image with this Python and nothing else (default: %(default)s)")


def pytest_configure(config: pytest.Config) -> None:
    """A run that was asked for a real cluster ends here, with one line, where there is none."""
    from real_cluster import asked_for

    asked_for(config)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long texts and bytes are named by their length: one of megabytes is one in every report, and sent about."""
    return f"{argname} of {len(val)}" if isinstance(val, (str, bytes)) and len(val) > LONGEST_ID else None


def pytest_collection_finish() -> None:
    """From here on modules are those that tests write, some twice in a second: Python's cache takes them for one."""
    sys.dont_write_bytecode = True


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def masks_end_with_their_test() -> Iterator[None]:
    """What a task masks, it masks for its process, which here is that of all tests: each would slow the next down."""
    import masks

    yield
    masks.forget()


# A timing is a benchmark, not a test: a machine that pauses must not fail a property.
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")
