"""Foreign hosts, foreign origins, broken pages, and the headers that no answer lacks."""

from __future__ import annotations

import pytest

FORM = {"reason": "wrong price"}
STOP = "/campaigns/price_drop/stop"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_is_refused(console, host):
    assert console("ADMIN").get("/today", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "LOCALHOST", "[::1]:8080"])
def test_own_names_are_answered(console, host):
    assert console("ADMIN").get("/today", headers={"Host": host}).status_code == 200


def test_further_hosts_are_named_in_the_environment(monkeypatch):
    from angelia.console.guard import allowed_hosts

    monkeypatch.setenv("ANGELIA_AIRFLOW_HOSTS", " Airflow.internal, ops.example ,")
    assert {"airflow.internal", "ops.example", "localhost"} <= allowed_hosts()
    assert "" not in allowed_hosts()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
        ({"Origin": "http://localhost"}, 303),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({}, 403),
    ],
)
def test_only_own_pages_write(console, catalog, headers, status):
    client = console("ADMIN")
    del client.headers["Sec-Fetch-Site"]
    assert client.post(STOP, data=FORM, headers=headers).status_code == status


def test_a_body_without_a_length_or_too_long_is_refused(console, catalog):
    client = console("ADMIN")
    assert client.post(STOP, content=iter([b"reason=x"])).status_code == 413
    assert client.post(STOP, content=b"x", headers={"Content-Length": str(1 << 30)}).status_code == 413


@pytest.mark.parametrize("path", ["/today", "/static/console.js", "/nothing", "/campaigns/nothing"])
@pytest.mark.parametrize("role", [None, "VIEWER"])
def test_every_answer_forbids_what_it_does_not_need(console, catalog, path, role):
    headers = console(role).get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_pages_are_kept_nowhere_and_files_by_their_version(console):
    client = console("VIEWER")
    assert client.get("/today").headers["cache-control"] == "no-store"
    assert client.get("/static/console.css").headers["cache-control"] == "no-cache"
    version = console.app.state.static_version
    assert "immutable" in client.get(f"/static/console.css?v={version}").headers["cache-control"]


def test_a_broken_page_names_no_value(console, catalog, monkeypatch, caplog):
    from angelia.console.pages import today

    def broken(*_):
        raise ValueError("u00000042 said no")

    monkeypatch.setattr(today, "recent_nights", broken)
    answer = console("VIEWER").get("/today")
    assert answer.status_code == 500
    assert "ValueError" in answer.text
    assert "u00000042" not in answer.text + caplog.text


def test_a_day_that_is_none_is_explained(console, catalog):
    answer = console("VIEWER").get("/today?ds=u00000042")
    assert answer.status_code == 400
    assert "is not a date" in answer.text
