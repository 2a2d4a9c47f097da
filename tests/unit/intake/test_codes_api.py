"""Codes over REST: by their own scope, and in no answer."""

from __future__ import annotations

from pathlib import Path

from tests.unit.intake.conftest import SECRET, Ask


def test_a_code_is_asked_for_and_verified_by_its_scope(ask: Ask, tmp_path: Path) -> None:
    body = {"user_id": "anna", "campaign_id": "login", "network": "192.0.2.7", "lives_s": 300.0}
    made = ask("POST", "/v1/codes", body)
    assert made.status_code == 202
    again = ask("POST", "/v1/codes", body)
    assert (again.status_code, again.json()["error"]["code"]) == (429, "cool_down")
    assert 28 <= int(again.headers["retry-after"]) <= 30
    code = SECRET.code(made.json()["id"], "anna")
    path = f"/v1/codes/{made.json()['id']}:verify"
    assert ask("POST", path, {"code": code}, scopes=("write",)).status_code == 403
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    assert ask("POST", path, {"code": wrong}).json() == {"verified": False, "attempts_left": 4}
    assert ask("POST", path, {"code": code}, client="bank").json() == {"verified": False, "attempts_left": 0}
    assert ask("POST", path, {"code": code}).json() == {"verified": True, "attempts_left": 0}
    view = ask("GET", f"/v1/messages/{made.json()['id']}").json()
    assert view["variables"] == {"code": f"otp:{made.json()['id']}"}
    resent = ask("POST", f"/v1/messages/{made.json()['id']}:resend")
    assert (resent.status_code, resent.json()["error"]["code"]) == (409, "not_resendable")


def test_a_code_goes_by_a_template_or_a_campaign(ask: Ask) -> None:
    made = ask("POST", "/v1/codes", {"user_id": "anna", "template_id": "login"})
    assert made.status_code == 202
    view = ask("GET", f"/v1/messages/{made.json()['id']}").json()
    assert (view["campaign_id"], view["template_id"], view["class"]) == (None, "login", "transactional")
    path = f"/v1/codes/{made.json()['id']}:verify"
    given = {"code": SECRET.code(made.json()["id"], "anna")}
    assert ask("POST", path, given).json() == {"verified": True, "attempts_left": 0}
    for named, code in (({}, "missing"), ({"campaign_id": "a", "template_id": "b"}, "invalid")):
        refused = ask("POST", "/v1/codes", {"user_id": "bert", **named})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, code)
        assert refused.json()["error"]["field"] == "campaign_id"
