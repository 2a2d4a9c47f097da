"""What Airflow loads: nothing but a name in the navigation, until somebody asks."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"
SCRIPT = """
import sys, warnings
warnings.simplefilter("ignore")
import airflow.plugins_manager
before = set(sys.modules)
import angelia.console.plugin as plugin
new = sorted(set(sys.modules) - before)
assert plugin.ConsolePlugin.fastapi_apps[0]["app"] is plugin.CONSOLE
print(*new)
"""


def test_loading_the_plugin_imports_nothing_of_the_console(tmp_path):
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(PYPROJECT.parent)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ours = {name for name in done.stdout.split() if name.startswith("angelia")}
    assert ours == {"angelia", "angelia.console", "angelia.console.plugin"}
    heavy = ("fastapi", "jinja2.environment", "pyarrow", "numpy", "duckdb", "sqlalchemy")
    assert not [name for name in done.stdout.split() if name.startswith(heavy)]


def test_the_entry_point_names_the_plugin():
    points = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["entry-points"]["airflow.plugins"]
    assert points == {"angelia_console": "angelia.console.plugin:ConsolePlugin"}


def test_the_console_is_built_once_by_whoever_asks_first():
    import asyncio

    from angelia.console.plugin import OnDemand

    built = []

    async def app(scope, receive, send):
        scope["answered"] = True

    def build():
        built.append(1)
        return app

    on_demand = OnDemand(build)
    assert not built

    async def ask():
        scopes = [{"type": "http"} for _ in range(8)]
        await asyncio.gather(*(on_demand(scope, None, None) for scope in scopes))
        return scopes

    assert all(scope["answered"] for scope in asyncio.run(ask()))
    assert built == [1]


def test_airflow_offers_the_console_in_its_navigation(auth_manager):
    from airflow.api_fastapi.core_api.datamodels.plugins import ExternalViewResponse

    from angelia.console.plugin import ConsolePlugin

    view = ExternalViewResponse.model_validate(ConsolePlugin.external_views[0])
    assert (view.name, view.destination, view.href) == ("Angelia", "nav", "/angelia/today")
    assert ConsolePlugin.fastapi_apps[0]["url_prefix"] == "/angelia"
