"""Erased people leave the intake's database, too."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from angelia import cli
from angelia.intake import erasing
from angelia.intake.codes import MadeCode
from angelia.intake.database import connect, writing
from angelia.intake.dispatching.steps import OutcomeStep, note_steps
from angelia.intake.erasing import IntakePeople, expire
from angelia.intake.message import Draft, now, parse_message
from angelia.intake.people.addresses import PeopleAddresses, export_addresses
from angelia.intake.people.external_ids import ExternalIds
from angelia.intake.store import Accepted, IntakeStore, change
from angelia.intake.tables import code_uses, codes, messages, metadata, sends
from angelia.lake import Lake
from angelia.lake.erasing.erase import erase
from tests.unit.intake.dispatching import Bench, bench

__all__ = ["bench"]
WHO, OTHER = "u0000000", "u0000001"
SECRET_TEXT = "Rosenweg seven"


def everything(engine: Engine) -> str:
    """Return all values of all tables, as one text."""
    with engine.connect() as connection:
        rows = [row for table in metadata.sorted_tables for row in connection.execute(sa.select(table))]
    return "\n".join(str(tuple(row)) for row in rows)


def test_no_row_names_an_erased_person(bench: Bench) -> None:
    bench.night()
    sent, kept = bench.accept({"variables": {"item": SECRET_TEXT}}, {"user_id": OTHER})
    bench.dispatch()
    (waiting,) = bench.accept({"send_at": "2030-01-01T00:00:00Z", "idempotency_key": f"{WHO}-cart"})
    before = bench.store.get("shop", waiting) or {}
    result = erase(bench.lake, [WHO], elsewhere=IntakePeople(bench.engine))
    text = everything(bench.engine)
    assert WHO not in text
    assert SECRET_TEXT not in text
    assert before["body_hash"] not in text
    assert before["key_hash"] not in text
    assert OTHER in text
    (tombstone,) = result.tombstones
    after = {message: bench.store.get("shop", message) or {} for message in (sent, waiting, kept)}
    assert [row["user_id"] for row in after.values()] == [tombstone, tombstone, OTHER]
    assert [row["status"] for row in after.values()] == ["sent", "refused", "sent"]
    assert bench.steps(waiting) == [("refused", "suppressed")]
    assert (result.rows["intake_messages"], result.rows["intake_sends"]) == (2, 1)
    assert bench.dispatch().batches == 0
    assert len(bench.wire.sent) == 2


def test_no_byte_stays_in_the_file(bench: Bench, tmp_path: Path) -> None:
    bench.night()
    bench.accept(*({"variables": {"item": SECRET_TEXT}} for _ in range(50)), *({"user_id": OTHER},) * 50)
    bench.dispatch()
    erase(bench.lake, [WHO], elsewhere=IntakePeople(bench.engine))
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("intake.db*"))
    assert OTHER.encode() in raw
    assert WHO.encode() not in raw
    assert SECRET_TEXT.encode() not in raw


def test_a_person_known_to_the_intake_alone(bench: Bench) -> None:
    bench.night()
    (message,) = bench.accept({"user_id": "nobody"})
    result = erase(bench.lake, ["nobody"], elsewhere=IntakePeople(bench.engine))
    assert result.rows["intake_messages"] == 1
    assert bench.states([message]) == ["refused"]


def test_addresses_and_other_ids_of_an_erased_person_go(bench: Bench) -> None:
    bench.night()
    known, ids = PeopleAddresses(bench.engine, bench.lake), ExternalIds(bench.engine)
    for user, phone in (("newcomer", "+491711"), (OTHER, "+491712")):
        known.replace(user, {"sms": [phone]}, now(), lambda _: False)
        ids.replace(user, {"crm": [f"K-{user}"]}, now())
    export_addresses(bench.lake, bench.engine)
    result = erase(bench.lake, ["newcomer"], elsewhere=IntakePeople(bench.engine))
    assert (result.rows["intake_addresses"], result.rows["intake_external_ids"]) == (1, 1)
    assert result.rows["registered_addresses"] == 1
    text = everything(bench.engine) + str(Lake(bench.lake.store).read_log("registered_addresses").to_pylist())
    assert "newcomer" not in text
    assert "+491711" not in text
    assert "+491712" in text


def test_codes_of_an_erased_person_end(bench: Bench, draft: Any) -> None:
    made = bench.codes.make(
        draft(user_id=WHO, campaign_id="order", now_us=now(), **{"class": "transactional"}),
        60_000_000,
        "1.2.3.4",
    )
    assert isinstance(made, MadeCode)
    changed = IntakePeople(bench.engine).erase({WHO: "erased-1"})
    assert changed["intake_codes"] == 1
    with bench.engine.connect() as connection:
        assert (
            connection.execute(sa.select(codes)).all() == connection.execute(sa.select(code_uses)).all() == []
        )


def test_each_database_forgets(any_engine: Engine, draft: Any) -> None:
    store = IntakeStore(any_engine)
    drafts: list[Draft] = [draft(user_id=WHO), draft(user_id=OTHER)]
    assert all(isinstance(verdict, Accepted) for verdict in store.accept(drafts))
    people = IntakePeople(any_engine)
    assert people.holds({WHO, OTHER, "u3"}) == {WHO, OTHER}
    assert people.erase({WHO: "erased-1"}) == {"intake_messages": 1}
    assert people.erase({WHO: "erased-1"}) == {}
    assert people.holds({WHO, OTHER, "u3"}) == {OTHER}


def test_a_batch_being_decided_is_waited_for(bench: Bench) -> None:
    bench.night()
    (message,) = bench.accept({})
    batches = bench.batches()
    batch, _ = batches.claim(now(), 10, "2026-11-26", "2026-11-28T08")
    assert batch is not None
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            batches.note(batch, [], [], is_over=True)

    IntakePeople(bench.engine, sleep=sleep).erase({WHO: "erased-1"})
    assert len(waited) == 3
    assert (bench.store.get("shop", message) or {})["user_id"] == "erased-1"
    with bench.engine.connect() as connection:
        assert connection.execute(sa.select(messages.c.claimed_by)).scalar() == batch.id
        assert connection.execute(sa.select(sends)).all() == []


def test_the_command_erases_there_too(settings_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert erasing.configured() is None  # and no database was made
    assert not (settings_home / "intake.db").exists()
    store = IntakeStore(connect(f"sqlite:///{settings_home / 'intake.db'}"))
    body = b'{"user_id": "u77", "campaign_id": "cart", "class": "marketing"}'
    store.accept([parse_message(body, "shop", now())])  # type: ignore[list-item]
    with pytest.raises(SystemExit, match="0"):
        cli.main(["lake", "erase", "--user", "u77"])
    assert "1 of intake_messages" in capsys.readouterr().out
    people = erasing.configured()
    assert people is not None
    assert people.holds({"u77"}) == set()


DAY_US = 86_400_000_000


def test_what_is_over_for_long_is_deleted(any_engine: Engine, draft: Any) -> None:
    store, at = IntakeStore(any_engine), now()
    old, border = at - 200 * DAY_US, at - 100 * DAY_US
    later = datetime.fromtimestamp((at + DAY_US) / 1e6, UTC).isoformat()
    soon = datetime.fromtimestamp((old + DAY_US) / 1e6, UTC).isoformat()
    drafts = [
        draft(user_id="sent", now_us=old, idempotency_key="k"),
        draft(user_id="due_later", now_us=old, send_at=later),
        draft(user_id="just_over", now_us=old),
        draft(user_id="lapsed", now_us=old, expires_at=soon),
        draft(user_id="fresh", now_us=at),
        draft(user_id="others", client="bank", now_us=old),
    ]
    ids = [verdict.id for verdict in store.accept(drafts) if isinstance(verdict, Accepted)]
    over = {"sent": border - 1, "just_over": border, "others": border - 1}
    with writing(any_engine) as connection:
        for each, message in zip(drafts, ids, strict=True):
            if each.row["user_id"] in over:
                values = {"status": "sent", "is_open": 0, "status_us": over[each.row["user_id"]]}
                change(connection, [each.row], **values)
                note_steps(connection, [OutcomeStep(each.row["client"], message, "sent", old, None)])
            row = {name: each.row[name] for name in ("client", "user_id", "campaign_id")}
            connection.execute(
                sa.insert(sends), row | {"message_id": f"m{message[1:]}", "id": message, "at_us": old}
            )
        uses = [{"used_by": f"{place:x}" * 64, "id": "x", "at_us": border - place % 2} for place in range(16)]
        connection.execute(sa.insert(code_uses), uses)
    assert expire(any_engine, border) == {"intake_messages": 3, "intake_steps": 2, "intake_sends": 3}
    with any_engine.connect() as connection:
        for table in (messages, sends):
            left = set(connection.execute(sa.select(table.c.user_id)).scalars())
            assert left == {"due_later", "just_over", "fresh"}
        assert set(connection.execute(sa.select(code_uses.c.at_us)).scalars()) == {border}
    assert expire(any_engine, border) == {}


def test_the_command_keeps_a_hundred_days_at_least(
    settings_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["intake", "expire", "--older-than", "99"])
    with pytest.raises(SystemExit, match="0"):
        cli.main(["intake", "expire"])
    assert "nothing is that old" in capsys.readouterr().out
