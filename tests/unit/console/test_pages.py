"""Pages as they are served: hostile texts stay texts, actions leave their trace."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    "path", ["/campaigns/<script>alert(1)", "/today?campaign=<script>alert(1)", "/<script>alert(1)"]
)
def test_hostile_addresses_stay_texts(console, catalog, path):
    answer = console("VIEWER").get(path)
    assert answer.status_code in (400, 404)
    assert "<script>alert" not in answer.text


def test_an_empty_home_is_explained(console):
    client = console("VIEWER")
    assert "No night has manifests yet" in client.get("/today").text
    assert "angelia catalog apply" in client.get("/campaigns").text
    assert client.get("/today/totals").status_code == 404
