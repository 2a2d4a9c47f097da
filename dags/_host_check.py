"""Airflow plugin that answers only requests to known hosts.

`angelia loop` copies it to HOME/airflow/plugins, where Airflow loads it. Where everybody is an administrator,
the machine's own address is the only lock. A page on the web can make its name resolve to 127.0.0.1, and so
reach Airflow's API from the operator's browser: its requests still carry the page's own name as Host, and are
refused here, for every path.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.plugins_manager import AirflowPlugin

LOCAL = ("127.0.0.1", "localhost", "[::1]", "::1")


def allowed_hosts() -> list[str]:
    """Return this machine's own names, and those that `ANGELIA_AIRFLOW_HOSTS` adds.

    The variable separates names by commas.
    """
    more = os.environ.get("ANGELIA_AIRFLOW_HOSTS", "").split(",")
    return [*LOCAL, *(host.strip() for host in more if host.strip())]


def check_host(app: Any) -> Any:
    """Return the application behind the check."""
    # Imported here, since schedulers load plugins, too, and only the API server needs it.
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    return TrustedHostMiddleware(app, allowed_hosts=allowed_hosts(), www_redirect=False)


class HostCheck(AirflowPlugin):
    """Puts the check before everything that Airflow serves."""

    name = "angelia_host_check"
    fastapi_root_middlewares = [{"name": "host check", "middleware": check_host}]  # noqa: RUF012
