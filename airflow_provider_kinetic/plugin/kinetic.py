"""The plugin as Airflow finds it, through the entry point ``airflow.plugins``.

Every task process imports this module, so it imports nothing but the plugin's base class and what lets our values
pass XCom there; FastAPI comes with the first look at ``fastapi_apps``, which only the API server takes. It is not
named in the provider info as well: Airflow would then find it twice and complain (``airflow`` 1.1).
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin

from airflow_provider_kinetic.hooks.xcom import allow_values
from airflow_provider_kinetic.links.pages import PREFIX

allow_values()


class KineticPlugin(AirflowPlugin):
    """Serves the pages that the links of a Kinetic task lead to."""

    name = "kinetic"

    @property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]
        from airflow_provider_kinetic.plugin.app import make_app

        return [{"app": make_app(), "url_prefix": PREFIX, "name": "Kinetic"}]
