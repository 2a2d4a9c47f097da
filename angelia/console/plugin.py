"""What Airflow loads: a place in its navigation, and an application built on demand.

Schedulers, DAG processors and tasks load plugins, too, so nothing of the console is imported here: the
first request builds it, or the warm-up when the API server starts. Found by the entry-point group
`airflow.plugins`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

PREFIX = "/angelia"

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


def _build() -> App:
    from angelia.console.access import AirflowAccess
    from angelia.console.app import build_app
    from angelia.console.engine import Engine

    return build_app(AirflowAccess(), Engine())


class OnDemand:
    """An ASGI application that is built once, by whoever asks first."""

    def __init__(self, build: Callable[[], App]) -> None:
        self._build = build
        self._lock = threading.Lock()
        self._app: App | None = None

    def built(self) -> App:
        """Return the application; others wait while it is built."""
        with self._lock:
            if self._app is None:
                self._app = self._build()
            return self._app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer one request."""
        # Building takes more than a second; in a thread, the server goes on answering others.
        app = await asyncio.to_thread(self.built) if self._app is None else self._app
        await app(scope, receive, send)


CONSOLE = OnDemand(_build)


def warm_up(app: App) -> App:
    """Return Airflow's application as it is, and begin to build the console beside it.

    Only the API server asks a plugin for its middlewares, so only there is anything built.
    """
    threading.Thread(target=CONSOLE.built, name="angelia-console", daemon=True).start()
    return app


def _base_path() -> str:
    return str(urlsplit(conf.get("api", "base_url", fallback="")).path).rstrip("/")


class ConsolePlugin(AirflowPlugin):  # type: ignore[misc]
    """The console under `/angelia`, and one entry in Airflow's navigation."""

    name = "angelia_console"
    fastapi_apps = [{"name": "Angelia console", "app": CONSOLE, "url_prefix": PREFIX}]  # noqa: RUF012
    fastapi_root_middlewares = [{"name": "Angelia console, warm-up", "middleware": warm_up}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Angelia",
            "href": f"{_base_path()}{PREFIX}/today",
            "url_route": "angelia",
            "destination": "nav",
            "nav_top_level": True,
            "icon": f"{_base_path()}{PREFIX}/static/icon.svg",
            "icon_dark_mode": f"{_base_path()}{PREFIX}/static/icon-dark.svg",
        }
    ]
