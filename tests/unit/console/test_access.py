"""Every route of the console, walked by nobody, a viewer, an operator and an approver."""

from __future__ import annotations

import pytest

from angelia.console.access import Role

# What stands in a path; a page that names something else adds it here.
NAMES = {"name": "price_drop", "action": "stop", "kind": "campaign", "ds": "2026-11-14", "branch": "replay-1"}
PUBLIC = {("GET", "/static/{name}")}
MAY = {"VIEWER": {Role.VIEWER}, "USER": set(Role), "OP": set(Role), "ADMIN": set(Role)}


def routes(app):
    """Return (method, path, role) of every route but the public ones."""
    from fastapi.routing import APIRoute

    walked = []
    for route in app.routes:
        assert isinstance(route, APIRoute), f"{route.path} is no route that asks for a role"
        for method in route.methods:
            if (method, route.path) not in PUBLIC:
                assert route.openapi_extra, f"{method} {route.path} asks for no role"
                walked.append((method, route.path, Role(route.openapi_extra["role"])))
    return sorted(walked)


def ask(client, method, path):
    return client.request(method, path.format_map(NAMES), data={} if method == "POST" else None)


def test_there_are_routes_of_every_kind(console):
    known = routes(console.app)
    assert {method for method, _, _ in known} == {"GET", "POST"}
    assert {role for _, _, role in known} >= {Role.VIEWER, Role.OPERATOR}
    assert len(known) >= 5


def test_nobody_reads_or_writes_without_a_login(console, catalog):
    client = console()
    for method, path, _ in routes(console.app):
        assert ask(client, method, path).status_code == 401, (method, path)


@pytest.mark.parametrize("airflow_role", MAY)
def test_each_role_passes_what_it_may_and_no_more(console, catalog, airflow_role):
    client = console(airflow_role)
    for method, path, role in routes(console.app):
        answer = ask(client, method, path)
        if role in MAY[airflow_role]:
            assert answer.status_code not in (401, 403, 500), (method, path, answer.text)
        else:
            assert answer.status_code == 403, (method, path)
            assert f"<b>{role}</b>" in answer.text


@pytest.mark.parametrize("airflow_role", ["VIEWER", "USER"])
def test_a_viewer_changes_nothing(console, catalog, lake, airflow_role):
    from angelia.catalog.snapshot import stopped_campaigns

    answer = console(airflow_role).post("/campaigns/price_drop/stop", data={"reason": "wrong price"})
    assert answer.status_code == (403 if airflow_role == "VIEWER" else 303)
    assert stopped_campaigns(lake) == (set() if airflow_role == "VIEWER" else {"price_drop"})


def test_whoever_may_not_look_may_do_nothing():
    from angelia.console.access import Visitor

    odd = Visitor("ada", frozenset({Role.OPERATOR}))
    assert not odd.may(Role.OPERATOR)
    assert not odd.may()


def test_a_login_leads_back_to_the_page_asked_for(console):
    answer = console().get("/campaigns/price_drop?x=1", headers={"Sec-Fetch-Dest": "document"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/api/v2/auth/login?next=%2Fcampaigns%2Fprice_drop%3Fx%3D1"


def test_inside_the_frame_a_lost_session_says_reload(console):
    answer = console().get("/today", headers={"Sec-Fetch-Dest": "iframe"})
    assert answer.status_code == 401
    assert "Reload" in answer.text
    assert "password" not in answer.text


def test_a_script_without_a_session_gets_no_page(console):
    answer = console().get("/today/totals", headers={"Sec-Fetch-Dest": "empty"})
    assert (answer.status_code, set(answer.json())) == (401, {"error"})


def test_public_routes_say_nothing_of_anybody(console):
    client = console()
    script = client.get("/static/console.js")
    assert script.status_code == 200
    assert script.headers["content-type"].startswith("text/javascript")
    for name in ("..%2Fapp.py", "app.py", "nothing.css", "%2e%2e/plugin.py"):
        assert client.get(f"/static/{name}").status_code == 404
