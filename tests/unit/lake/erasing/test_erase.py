"""`erase`: afterwards no object holds a byte of the person, and every count is what it was."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.ipc
import pytest

from angelia import cli
from angelia.contracts.rows import valid_rows
from angelia.delivery.manifest import parts
from angelia.errors import Conflict, InvalidInput, NotFound
from angelia.lake import Commit, Lake
from angelia.lake.erasing.erase import erase
from angelia.lake.expire import expire
from angelia.lake.store import LocalStore, Store
from angelia.lake.verify import verify
from angelia.users.index import append_users

WHO, OTHER = "u0000003", "u0000030"
DAYS = ("2026-11-13", "2026-11-14")


def test_no_byte_stays_and_every_count_does(look: SimpleNamespace, template: Path, store: Store) -> None:
    filled = look.copied(template, store)
    gone, others = look.addresses(filled, WHO), look.addresses(filled, OTHER)
    before, whom = (
        look.rest(filled),
        {commit.ref: filled.read(commit)["user_id"].to_pylist() for commit in look.commits(store)},
    )
    objects = look.all_bytes(store)
    assert len(look.traces(objects, WHO, *gone)) > 10  # the search finds what is there
    assert not look.traces(objects, "no such text")
    result = erase(filled, [WHO])
    objects = look.all_bytes(store)
    assert look.traces(objects, WHO, *gone) == []
    assert look.rest(filled) == before
    (tombstone,) = result.tombstones
    after = look.commits(store)
    for commit in after:
        if commit.ref in whom:  # rows stay in their place; others keep their names
            assert filled.read(commit)["user_id"].to_pylist() == [
                tombstone if user == WHO else user for user in whom[commit.ref]
            ]
    assert len(look.traces(objects, OTHER)) > 10
    assert all(look.traces(objects, address) for address in others)
    verdict = verify(filled)
    assert verdict.problems == []
    assert verify(Lake(store, "replay-7")).problems == []
    erased = {commit.ref for commit in after if commit.erased}
    assert erased == set(result.commits)
    assert any(ref.startswith("replay-7:") for ref in erased)
    assert result.rows["user_index"] == 1
    assert json.loads(store.read(f"erasures/{tombstone}")).keys() == {"erased_ts"}
    assert list(store.list("erasing/people")) == list(store.list("erasing/drops")) == []


def test_a_person_who_comes_back_has_a_new_ordinal(filled: Lake) -> None:
    (tombstone,) = erase(filled, [WHO]).tombstones
    head = filled.require("user_index", chain="0")
    index = filled.read(head).to_pydict()
    assert index["user_id"][3] == tombstone
    assert index["ordinal"] == list(range(200))
    again = append_users(filled, pa.table({"user_id": [WHO]}), seen=head, shard_bits=4)
    assert filled.read(again).slice(200).to_pylist() == [{"user_id": WHO, "ordinal": 200}]
    assert verify(filled).problems == []


def test_suppressed_under_both_names_until_the_id_is_gone(
    filled: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from angelia.lake.erasing import erase as module

    seen: list[list[str]] = []
    original = module._all_passes

    def look(*arguments: object) -> None:
        seen.append(
            [
                row["user_id"]
                for row in Lake(filled.store).read_log("suppressions").to_pylist()
                if row["reason"] == "erased"
            ]
        )
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_all_passes", look)
    (tombstone,) = erase(filled, [WHO]).tombstones
    assert WHO in seen[0]
    assert tombstone in seen[0]
    after = Lake(filled.store).read_log("suppressions").to_pylist()
    since = [row["since_ts"] for row in after if row["user_id"] == tombstone]
    assert len(since) >= 2
    # A night that is rerun for an earlier day plans for a tombstone no more than the next one does.
    assert min(since) == datetime(1970, 1, 1, tzinfo=UTC)
    assert WHO not in [row["user_id"] for row in after]


def test_sealed_hours_keep_their_parts_so_nothing_is_sent_again(filled: Lake) -> None:
    commit = parts.seal(filled, DAYS[1], "2026-11-15T04", "2026-11-15T04:00:00+00:00")
    before = parts.parts_of(filled, commit, "2026-11-15T04")
    parts.follow_up(filled, before[0], [1, 2], "deferred", "x")
    ids = [(part.id, part.n_rows) for part in parts.parts_of(filled, commit, "2026-11-15T04")]
    for user in (WHO, "u0000004"):
        erase(filled, [user])
        sealed = parts.seal(filled, DAYS[1], "2026-11-15T04", "later")
        assert sealed.erased
        now = parts.parts_of(filled, sealed, "2026-11-15T04")
        assert [(part.id, part.n_rows) for part in now] == ids
        parts.verify(filled, now)
    assert len(ids) == 5  # two files, a follow-up of one, and two files that fell over


def test_many_at_once_and_ids_inside_other_texts(look: SimpleNamespace, tmp_path: Path) -> None:
    lake = Lake(LocalStore(tmp_path))
    store = lake.store
    rows = valid_rows("user_endpoints", 40, ds=DAYS[0])
    table = rows.set_column(
        2, rows.schema.field("address"), pa.array([f"sandbox-{user}" for user in rows["user_id"].to_pylist()])
    )
    with lake.attempt("user_endpoints", ds=DAYS[0]) as attempt:
        attempt.write(table, "part-0000.parquet")
        attempt.publish()
    with lake.attempt("push_receipts", ds=DAYS[0], source="x", part="p") as attempt:
        receipts = valid_rows("push_receipts", 10, ds=DAYS[0])
        keyed = pa.array([f"receipt:{user}:{i}" for i, user in enumerate(receipts["user_id"].to_pylist())])
        attempt.write(receipts.set_column(0, receipts.schema.field("receipt_id"), keyed), "part-0000.parquet")
        attempt.publish()
    result = erase(lake, ["u0000003", "u0000004", "u0000003"])
    assert (result.people, len(result.tombstones)) == (2, 2)
    assert look.traces(store, "u0000003", "u0000004") == []
    assert look.traces(store, "sandbox-u0000005")
    receipt_ids = lake.read(lake.require("push_receipts", ds=DAYS[0], source="x", part="p"))[
        "receipt_id"
    ].to_pylist()
    assert len(set(receipt_ids)) == 10
    assert receipt_ids[5] == "receipt:u0000005:5"


def test_files_taken_as_they_came_are_searched_too(tmp_path: Path) -> None:
    lake = Lake(LocalStore(tmp_path))
    with lake.attempt("user_events", ds=DAYS[0]) as attempt:
        table = pa.table(
            {
                "user_id": pa.array([" u3 ", "u3", "u33", None]).dictionary_encode(),
                "extra": ["for u3", "x", "u3 of u33", None],
            }
        )
        attempt.write(table, "x.parquet", conform=False)
        attempt.write(pa.table({"colour": ["red"]}), "y.parquet", conform=False)
        attempt.publish()
    (tombstone,) = erase(lake, ["u3"]).tombstones
    assert lake.read_file(lake.require("user_events", ds=DAYS[0]).files[0]).to_pydict() == {
        "user_id": [tombstone, tombstone, "u33", None],
        "extra": [f"for {tombstone}", "x", "u3 of u33", None],  # a row of somebody else is theirs
    }


def test_crashed_writes_go_and_a_writer_at_work_is_named(look: SimpleNamespace, filled: Lake) -> None:
    left = filled.attempt("user_events", ds=DAYS[0])
    left.write(valid_rows("user_events", 100, ds=DAYS[0]), "part-0000.parquet")
    clean = filled.attempt("user_events", ds=DAYS[0])
    clean.write(valid_rows("user_events", 5, ds=DAYS[0]), "part-0000.parquet")
    with pytest.raises(
        Conflict, match=f"1 unfinished attempts hold them still .the first in {left.folder}"
    ) as caught:
        erase(filled, [WHO])
    assert WHO not in caught.value.one_line()
    tomorrow = Lake(filled.store, clock=lambda: datetime.now(UTC) + timedelta(days=1, minutes=1))
    result = erase(tomorrow, [WHO])
    assert result.resumed == 1
    assert look.traces(filled.store, WHO) == []
    assert filled.store.exists(clean.files[0].path)


def test_files_of_expired_commits_that_are_still_there_go(look: SimpleNamespace, filled: Lake) -> None:
    (old, _) = filled.history("user_profiles", ds=DAYS[0])
    filled.store.create(old.key.replace(".json", ".expired"), b"{}\n")  # expire was killed after its marker
    erase(filled, [WHO])
    assert look.traces(filled.store, WHO) == []
    assert verify(filled).problems == []


def test_expire_and_reruns_go_on_afterwards(filled: Lake) -> None:
    erase(filled, [WHO])
    erase(filled, [OTHER])  # the same commits again
    later = Lake(filled.store, clock=lambda: datetime.now(UTC) + timedelta(days=90))
    assert expire(later, 30).commits
    assert verify(filled).problems == []
    with filled.attempt("user_profiles", ds=DAYS[1]) as attempt:
        attempt.write(valid_rows("user_profiles", 10, ds=DAYS[1]), "part-0000.parquet")
        assert attempt.publish(inputs=[filled.require("user_index", chain="0")]).number == 2
    assert verify(filled).problems == []


def test_a_job_that_writes_them_meanwhile_is_cleaned_up_after(
    look: SimpleNamespace, filled: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from angelia.lake.erasing import erase as module

    original = module._rewrite
    written: list[Commit] = []

    def rewrite_while_a_job_publishes(*arguments: object) -> None:
        original(*arguments)  # type: ignore[arg-type]
        if len(written) < 1:
            with filled.attempt("user_profiles", ds="2026-11-01") as attempt:
                attempt.write(valid_rows("user_profiles", 10, ds="2026-11-01"), "part-0000.parquet")
                written.append(attempt.publish())

    monkeypatch.setattr(module, "_rewrite", rewrite_while_a_job_publishes)
    erase(filled, [WHO])
    assert written
    assert look.traces(filled.store, WHO) == []


def test_unknown_people_and_nonsense_write_nothing(look: SimpleNamespace, filled: Lake) -> None:
    before = look.all_bytes(filled.store)
    for users, error, message in [
        (["nobody-here"], NotFound, "this person is nowhere in the lake"),
        ([WHO, "nobody-here", OTHER, "nor-he"], NotFound, r"2 of 4 \(number 2, 4\) are nowhere"),
        ([], InvalidInput, "no user"),
        ([WHO, " "], InvalidInput, "empty id"),
    ]:
        with pytest.raises(error, match=message) as caught:
            erase(filled, users)
        assert "nobody-here" not in caught.value.one_line()
    with pytest.raises(InvalidInput, match="all branches at once"):
        erase(Lake(filled.store, "replay-7"), [WHO])
    after = look.all_bytes(filled.store)
    assert {
        key: data for key, data in after.items() if not key.startswith(("erasing/locks", "keys/erasure"))
    } == before


def test_copies_of_s3_files_on_this_machine_go(s3_store: Store) -> None:
    lake = Lake(s3_store)
    for name in ("user_profiles", "user_events"):
        with lake.attempt(name, ds=DAYS[0]) as attempt:
            rows = valid_rows(name, 200, ds=DAYS[0])
            for part, half in enumerate((rows.slice(0, 100), rows.slice(100))):
                attempt.write(half, f"part-{part:04d}.parquet")
            attempt.publish()
    copies = [
        Path(path)
        for name in ("user_profiles", "user_events")
        for path in lake.paths(lake.require(name, ds=DAYS[0]))
    ]
    erase(lake, [WHO])
    # The second halves are of people from number 100 on.
    assert [path.exists() for path in copies] == [
        False,
        True,
        False,
        True,
    ]


def test_the_command(
    look: SimpleNamespace,
    settings_home: Path,
    filled: Lake,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lake = filled

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            cli.main(["lake", "erase", *map(str, arguments)])
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        out, err = capsys.readouterr()
        assert not re.search(r"u00000\d\d", out + err)  # no id is printed
        return code, out, err

    code, out, err = run("--user", "u9999999")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(
        "error: this person is nowhere in the lake, or erased already; nothing was written"
    )
    (tmp_path / "ids.txt").write_text("\ufeffu0000005\r\n\nu0000006\n", encoding="utf-8")
    code, out, _ = run("--user-file", tmp_path / "ids.txt", "--user", WHO, "--json")
    assert code == 0
    assert json.loads(out)["people"] == 3
    assert look.traces(lake.store, "u0000003", "u0000005", "u0000006") == []
    code, out, _ = run("--user", OTHER)
    assert out.startswith("erased 1 person: ")
    assert run("--user", OTHER)[0] == 2
    assert run()[2] == "error: nobody to erase; give --user, --user-file or --address-file\n"
    assert run("--user-file", tmp_path / "none.txt")[0] == 2
    (tmp_path / "ids.txt").write_text("\n")
    assert run("--user-file", tmp_path / "ids.txt")[2].startswith(
        f"error: {tmp_path / 'ids.txt'} names nobody"
    )
