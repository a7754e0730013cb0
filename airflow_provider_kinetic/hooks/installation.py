"""Which Airflow a job belongs to.

Several installations may share one cluster, and clean-up must touch no other's jobs. The id therefore
has to be the same in every worker, triggerer and command line of one installation and different in
any other. None of these may ask the metadata database, so it is derived from what all of them have:

* the Fernet key: random for each installation and given to every component. While it is rotated
  (``new,old``) the oldest one counts, so the id stays;
* the home folder, which is the same in every component of a deployment;
* the public or execution URL where it reaches over the network. Where it is a loopback address or not
  set, all components are on one machine, and the machine is named instead; the port, which changes
  with every demo, does not enter.

Only a digest of these leaves the process. Should the id ever change, jobs of the old id are listed and
no longer deleted: the safe side. ``[kinetic] installation_id`` overrides it, and is needed where two
installations have neither a key nor a URL of their own.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from airflow_provider_kinetic.model.errors import ConfigurationError


def installation_id() -> str:
    """Id of this process's Airflow: the configured one, else 12 hex digits."""
    from airflow.sdk import conf

    def option(section: str, name: str) -> str | None:
        return conf.get(section, name, fallback=None)

    return identify(option, home=airflow_home(), machine=machine_name())


def identify(option: Callable[[str, str], str | None], *, home: Path, machine: str) -> str:
    """The id from the configuration, the home folder and the name of the machine.

    :raises ConfigurationError: the configured id cannot be a Kubernetes label value.
    """
    configured = (option("kinetic", "installation_id") or "").strip()
    if configured:
        return _checked(configured)
    parts = (_oldest_key(option("core", "fernet_key")), str(home), _address(option) or machine)
    return hashlib.sha256("\n".join(("kinetic installation", *parts)).encode()).hexdigest()[:12]


def airflow_home(environ: Mapping[str, str] = os.environ) -> Path:
    """``AIRFLOW_HOME`` or Airflow's default for it."""
    given = environ.get("AIRFLOW_HOME") or "~/airflow"
    return Path(os.path.expandvars(given)).expanduser().absolute()


def machine_name() -> str:
    """The machine's own id where it has one (it survives a change of host name), else the host name."""
    try:
        return Path("/etc/machine-id").read_text().strip() or platform.node()
    except OSError:
        return platform.node()


def _oldest_key(keys: str | None) -> str:
    last = (keys or "").split(",")[-1].strip()
    return "" if last.startswith("{") else last  # "{FERNET_KEY}" is Airflow's placeholder for "none yet"


def _address(option: Callable[[str, str], str | None]) -> str:
    for section, name in (("api", "base_url"), ("core", "execution_api_server_url")):
        parts = urlsplit(option(section, name) or "")
        host = parts.hostname or ""
        if host and host not in ("localhost", "::1", "0.0.0.0") and not host.startswith("127."):
            return f"{parts.netloc}{parts.path.rstrip('/')}"
    return ""


def _checked(configured: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", configured):
        return configured
    raise ConfigurationError(
        f"The option `installation_id` in section [kinetic] is {configured!r}; it becomes a label in the cluster.",
        advice="Use up to 63 letters, digits and inner hyphens.",
    )
