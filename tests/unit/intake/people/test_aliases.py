"""Names of a person's addresses are erased with the person, others by a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia import cli
from angelia.errors import InvalidInput
from angelia.intake import erasing
from angelia.intake.erasing import IntakePeople
from angelia.intake.exporting.export import export
from angelia.intake.people.aliases import aliases_of, names_of, read_addresses
from tests.unit.intake.dispatching import ORDER, Bench, bench
from tests.unit.intake.test_erasing import everything
from tests.unit.intake.test_whose import address, to

__all__ = ["bench"]


def test_messages_to_a_persons_address_are_found(bench: Bench) -> None:
    bench.night(2)
    elsewhere = IntakePeople(bench.engine)
    assert aliases_of(bench.lake, ["u0000000"], elsewhere) == []
    bench.accept({**to(0), "send_at": "2030-01-01T00:00:00Z"})
    (name,) = aliases_of(bench.lake, ["u0000000"], elsewhere)
    assert names_of(bench.lake, [("fcm", address(0))]) == {name}
    assert aliases_of(bench.lake, ["u0000001"], elsewhere) == []
    assert aliases_of(bench.lake, ["u0000000"], None) == []


def test_what_the_database_expired_is_found_in_the_lake(bench: Bench) -> None:
    bench.night(1)
    bench.accept({**to(0), "send_at": "2030-01-01T00:00:00Z"})
    export(bench.lake, bench.engine, 28)
    with bench.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM intake_messages")
    assert len(aliases_of(bench.lake, ["u0000000"], IntakePeople(bench.engine))) == 1


def test_erasing_takes_addresses_of_the_person_and_of_nobody(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.night(2)
    waiting = {"send_at": "2030-01-01T00:00:00Z"}
    mine, nobodys, others = bench.accept({**to(0), **waiting}, {**to(7), **ORDER}, {**to(1), **waiting})
    bench.dispatch()
    monkeypatch.setattr(erasing, "configured", lambda: IntakePeople(bench.engine))
    monkeypatch.setattr("angelia.commands.lake.open_lake", lambda: bench.lake)
    path = tmp_path / "addresses"
    path.write_text(f"fcm {address(7)}\n")
    with pytest.raises(SystemExit) as ended:
        cli.main(["lake", "erase", "--user", "u0000000", "--address-file", str(path)])
    assert not ended.value.code
    assert bench.states([mine, nobodys, others]) == ["refused", "sent", "accepted"]
    text = everything(bench.engine)
    assert (address(0) in text, address(7) in text, address(1) in text) == (False, False, True)
    for leaf in bench.lake.partitions("dispatch_intake"):
        rows = bench.lake.read(bench.lake.require("dispatch_intake", **leaf)).to_pylist()
        assert not any(row["user_id"].startswith("to:") or address(7) in str(row) for row in rows)


@pytest.mark.parametrize(
    ("text", "says"), [("\n", "names no address"), ("sms +491511234567\nsms x", "line 2")]
)
def test_a_file_of_another_form_names_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "addresses"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=says) as wrong:
        read_addresses(path)
    assert "+491511234567" not in wrong.value.one_line()
