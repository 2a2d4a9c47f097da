"""What pages are made with: templates without scripts, links below any base path."""

from __future__ import annotations

import re


def test_no_template_has_an_inline_script_or_style():
    from angelia.console.desk import TEMPLATES

    texts = {path.name: path.read_text("utf-8") for path in TEMPLATES.glob("*.html")}
    assert len(texts) >= 8
    for name, text in texts.items():
        assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:|<script(?! src)|\| ?safe", text), name


def test_every_link_holds_below_a_base_path(console, catalog):
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    parent = FastAPI()
    parent.mount("/angelia", console("USER").app)
    client = TestClient(parent, base_url="http://localhost", root_path="/airflow", follow_redirects=False)
    for path in ("today", "campaigns", "campaigns/price_drop", "catalog", "audit", "approvals"):
        page = client.get(f"/airflow/angelia/{path}").text
        assert 'data-airflow="/airflow"' in page
        links = re.findall(r'(?:href|src|action)="([^"]*)"', page)
        assert len(links) > 5
        assert all(link.startswith(("/airflow/angelia/", "#")) for link in links), path
    sent = client.post(
        "/airflow/angelia/campaigns/price_drop/stop",
        data={"reason": "x"},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert sent.headers["location"] == "/airflow/angelia/campaigns/price_drop"
