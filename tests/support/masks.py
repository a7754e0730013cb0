"""What Airflow hides in logs it knows for a process, and a worker's leg is a process of its own."""

from __future__ import annotations

import sys


def forget() -> None:
    """As in a new process."""
    for name in ("airflow._shared.secrets_masker", "airflow.sdk._shared.secrets_masker"):
        if name in sys.modules:
            sys.modules[name].reset_secrets_masker()
