"""One-time codes: right once, limited, and in no database, lake or log."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from angelia.errors import InvalidInput
from angelia.intake.codes import (
    ATTEMPTS,
    COOL_DOWN_US,
    HOUR_US,
    PER_ADDRESS,
    PER_NETWORK,
    PER_PERSON,
    Codes,
    Limited,
    MadeCode,
    Secret,
    Verified,
    network_of,
)
from angelia.intake.dispatching import sample_night
from angelia.intake.message import Draft, now
from angelia.intake.store import IntakeStore
from tests.unit.intake.conftest import NOW_US
from tests.unit.intake.dispatching import SECRET, Bench, bench

__all__ = ["bench"]
Make = Callable[..., Draft]
LIVES_US = 300_000_000


@pytest.fixture
def draft_of(draft: Make) -> Make:
    def make(now_us: int = NOW_US, **fields: object) -> Draft:
        return draft(now_us=now_us, **{"class": "transactional", "campaign_id": "order", **fields})

    return make


def made(codes: Codes, draft: Draft, network: str | None = None) -> MadeCode:
    code = codes.make(draft, LIVES_US, network)
    assert isinstance(code, MadeCode), code
    return code


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


def test_a_code_is_right_once_until_it_ends(any_engine: Engine, draft_of: Make) -> None:
    codes = Codes(any_engine, SECRET)
    code = made(codes, draft_of())
    text = SECRET.code(code.id, "u1")
    assert codes.verify("bank", code.id, text, NOW_US) == Verified(False, 0)
    assert codes.verify("shop", "0" * 32, text, NOW_US) == Verified(False, 0)
    assert codes.verify("shop", code.id, wrong(text), NOW_US) == Verified(False, ATTEMPTS - 1)
    assert codes.verify("shop", code.id, text, NOW_US + LIVES_US) == Verified(False, 0)
    assert codes.verify("shop", code.id, text, NOW_US + LIVES_US - 1) == Verified(True, 0)
    assert codes.verify("shop", code.id, text, NOW_US + 1) == Verified(False, 0)


def test_tries_are_counted_and_a_new_code_ends_the_old(engine: Engine, draft_of: Make) -> None:
    codes = Codes(engine, SECRET)
    first = made(codes, draft_of())
    text = SECRET.code(first.id, "u1")
    left = [codes.verify("shop", first.id, wrong(text), NOW_US).attempts_left for _ in range(ATTEMPTS + 1)]
    assert left == [4, 3, 2, 1, 0, 0]
    assert codes.verify("shop", first.id, text, NOW_US) == Verified(False, 0)
    second = made(codes, draft_of(NOW_US + COOL_DOWN_US))
    third = made(codes, draft_of(NOW_US + 2 * COOL_DOWN_US))
    at = NOW_US + 2 * COOL_DOWN_US
    assert codes.verify("shop", second.id, SECRET.code(second.id, "u1"), at) == Verified(False, 0)
    assert codes.verify("shop", third.id, SECRET.code(third.id, "u1"), at) == Verified(True, 0)


def test_who_asks_too_often_waits(any_engine: Engine, draft_of: Make) -> None:
    codes = Codes(any_engine, SECRET)
    times = [NOW_US + number * COOL_DOWN_US for number in range(PER_PERSON)]
    for at in times:
        made(codes, draft_of(at))
    early = codes.make(draft_of(times[-1] + COOL_DOWN_US - 1), LIVES_US, None)
    assert isinstance(early, Limited)
    assert (early.refusal.code, early.retry_s) == ("cool_down", 1e-6)
    full = codes.make(draft_of(times[-1] + COOL_DOWN_US), LIVES_US, None)
    assert isinstance(full, Limited)
    assert full.refusal.code == "too_many_codes"
    made(codes, draft_of(times[-1] + COOL_DOWN_US, user_id="u2"))
    made(codes, draft_of(NOW_US + HOUR_US))


def test_a_network_has_a_limit_of_its_own(engine: Engine, draft_of: Make) -> None:
    codes = Codes(engine, SECRET)
    for number in range(PER_NETWORK):
        made(codes, draft_of(user_id=f"u{number}"), f"198.51.100.{number}")
    more = codes.make(draft_of(user_id="x"), LIVES_US, "198.51.100.250")
    assert isinstance(more, Limited)
    made(codes, draft_of(user_id="x"), "198.51.101.1")
    assert network_of("::ffff:198.51.100.9") == network_of("198.51.100.1") == "198.51.100.0/24"
    assert network_of("2001:db8:1:2::9") == network_of("2001:db8:1::1") == "2001:db8:1::/48"


def test_racing_requests_of_one_person_get_one_code(any_engine: Engine, draft_of: Make) -> None:
    codes, answers, barrier = Codes(any_engine, SECRET), [], threading.Barrier(4)

    def ask() -> None:
        barrier.wait()
        answers.append(codes.make(draft_of(), LIVES_US, None))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(answer, MadeCode) for answer in answers) == 1


def test_asking_again_goes_by_the_next_channel(engine: Engine, draft_of: Make) -> None:
    codes, store = Codes(engine, SECRET), IntakeStore(engine)
    channels = []
    for number in range(3):
        code = made(codes, draft_of(NOW_US + number * COOL_DOWN_US, channels=["fcm", "sms", "email"]))
        channels.append((store.get("shop", code.id) or {})["channels"])
    assert channels == ["fcm,sms,email", "sms,email,fcm", "email,fcm,sms"]


def test_a_code_arrives_and_is_nowhere_else(bench: Bench, draft_of: Make, tmp_path: Path) -> None:
    template = {**sample_night.TEMPLATE, "variables": {"code": {}}}
    template["variants"] = {"en": {"title": "Your code", "body": "It is {{ code }}."}}
    bench.night(
        documents=[template if each["kind"] == "template" else each for each in sample_night.DOCUMENTS]
    )
    code = made(bench.codes, draft_of(now(), user_id="u0000000"))
    bench.dispatch()
    text = SECRET.code(code.id, "u0000000")
    assert [message["notification"]["body"] for message in bench.wire.sent] == [f"It is {text}."]
    assert bench.states([code.id]) == ["sent"]
    bench.engine.dispose()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in files if text.encode() in path.read_bytes()] == []
    (leaf,) = bench.lake.partitions("dispatch_intake")
    rows = bench.lake.read(bench.lake.require("dispatch_intake", **leaf)).to_pylist()
    assert json.loads(rows[0]["fields"])["code"] == f"otp:{code.id}"


def test_an_address_gets_so_many_codes_whoever_asks(bench: Bench) -> None:
    addressed = [(f"{number:032x}", "fcm", "one") for number in range(PER_ADDRESS + 1)]
    assert bench.codes.admit(addressed, NOW_US) == {f"{PER_ADDRESS:032x}"}
    assert bench.codes.admit(addressed[:1], NOW_US) == set()
    assert bench.codes.admit([("f" * 32, "sms", "one")], NOW_US) == set()
    assert bench.codes.admit([("e" * 32, "fcm", "one")], NOW_US + HOUR_US) == set()


def test_a_mark_in_another_message_is_refused(bench: Bench) -> None:
    bench.night()
    order = {"campaign_id": "order", "class": "transactional"}
    ids = bench.accept({**order, "variables": {"item": "otp:" + "0" * 32}})
    bench.dispatch()
    assert bench.steps(ids[0]) == [("refused", "variables_not_plain")]


def test_the_key_is_made_once_and_read_by_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Secret.of(tmp_path / "home"), Secret.of(tmp_path / "home")
    assert first.code("0" * 32, "u") == second.code("0" * 32, "u")
    assert first.code("0" * 32, "u") != SECRET.code("0" * 32, "u")
    path = tmp_path / "home" / "codes.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    monkeypatch.setenv("ANGELIA_CODES_KEY", "short")
    with pytest.raises(InvalidInput, match="too short"):
        Secret.of(tmp_path)
