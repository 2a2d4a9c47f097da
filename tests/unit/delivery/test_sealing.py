"""Sealing an hour while a manifest is published, in every order of their steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelia.contracts.rows import valid_rows
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.sealing import (
    agree,
    passed_over,
    require_none_passed_over,
    sealed_numbers,
    standing,
)
from angelia.errors import Conflict
from angelia.lake import Commit, Lake
from angelia.lake.store import LocalStore

DS, FOUR, FIVE = "2026-11-14", "2026-11-15T04", "2026-11-15T05"
ROWS = valid_rows("dispatch_manifest", 8)


def publish(lake: Lake, *at: str, known: tuple[str, ...] = ()) -> Commit:
    """Publish a manifest whose n-th message stands in the n-th hour; `known` ones are carried."""
    sealed = parts.sealed_files(lake, DS) if known else {}
    with lake.attempt("dispatch_manifest", ds=DS) as attempt:
        for hour in sorted(set(at) - set(known)):
            rows = ROWS.filter(pa.array([n < len(at) and at[n] == hour for n in range(ROWS.num_rows)]))
            keys = {"send_hour": hour, "channel": "fcm", "priority": "medium", "part": "0000"}
            attempt.write(rows, f"send_hour={hour}/part-0000.parquet", keys=keys)
        for entry in (entry for hour in known for entry in sealed[hour]):
            attempt.add(entry)
        return attempt.publish()


def test_a_manifest_made_in_ignorance_of_a_seal_sends_nothing(lake: Lake) -> None:
    first = publish(lake, FOUR, FIVE)
    parts.seal(lake, DS, FOUR, "now")
    second = publish(lake, FIVE, FIVE)  # moves a message from four to five
    for refuse in (lambda: require_none_passed_over(lake, second), lambda: parts.seal(lake, DS, FIVE, "now")):
        with pytest.raises(Conflict, match=f"began to send {FOUR} while {second.ref} was published"):
            refuse()
    assert standing(lake, DS) == first
    third = publish(lake, FOUR, FIVE, known=(FOUR,))
    require_none_passed_over(lake, third)
    assert standing(lake, DS) == third
    assert parts.seal(lake, DS, FIVE, "now") == third


def test_a_seal_of_a_release_before_counts_without_a_mark(lake: Lake) -> None:
    first = publish(lake, FOUR, FIVE)
    parts.seal(lake, DS, FOUR, "now")
    for folder in ("sealing", "sealable"):
        lake.store.delete_folder(folder)
    assert passed_over(lake, publish(lake, FIVE, FIVE)) == {FOUR: first.number}


def test_a_worker_that_ended_before_its_seal_has_sealed(lake: Lake) -> None:
    first = publish(lake, FOUR, FIVE)
    agree(lake, DS, FOUR)  # and no seal is written
    assert sealed_numbers(lake, DS) == {FOUR: first.number}
    second = publish(lake, FIVE, FIVE)
    assert passed_over(lake, second) == {FOUR: first.number}
    assert parts.seal(lake, DS, FOUR, "now") == first


def test_a_worker_that_ended_before_it_agreed_has_not(lake: Lake) -> None:
    first = publish(lake, FOUR, FIVE)
    lake.store.create(f"sealing/{DS}/{FOUR}.{first.number:08d}", b"")
    assert sealed_numbers(lake, DS) == {}
    second = publish(lake, FIVE, FIVE)
    assert parts.seal(lake, DS, FIVE, "now") == second
    # It comes to itself again, and finds that four was forbidden the first.
    assert agree(lake, DS, FOUR) == second


# ---- every order of steps


class Turns(LocalStore):
    """A store in which each look and each write of an actor waits for its turn."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.actor = threading.local()

    def _step(self) -> None:
        wait: Callable[[], None] | None = getattr(self.actor, "wait", None)
        if wait is not None:
            wait()

    def create(self, key: str, data: bytes) -> bool:
        self._step()
        return super().create(key, data)

    def children(self, prefix: str) -> Any:
        self._step()
        return super().children(prefix)

    def exists(self, key: str) -> bool:
        self._step()
        return super().exists(key)


def play(store: Turns, actors: list[Callable[[], object]], order: list[int]) -> None:
    """Run actors in threads, one step at a time in the order given, then to their ends."""
    ready = [threading.Semaphore(0) for _ in actors]
    go = [threading.Semaphore(0) for _ in actors]
    over = [False] * len(actors)

    def run(n: int, act: Callable[[], object]) -> None:
        def wait() -> None:
            ready[n].release()
            go[n].acquire()

        store.actor.wait = wait
        try:
            act()
        except Conflict:
            pass
        finally:
            over[n] = True
            ready[n].release()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(actors)]
    for thread in threads:
        thread.start()
    for semaphore in ready:
        semaphore.acquire()

    def steps() -> Iterator[int]:
        yield from order
        while not all(over):
            yield len(over) - 1 - over[::-1].index(False)

    for n in steps():
        if not over[n]:
            go[n].release()
            ready[n].acquire()
    for thread in threads:
        thread.join()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), max_size=9))
def test_in_any_order_no_message_stands_in_two_sealed_hours(
    tmp_path_factory: pytest.TempPathFactory, bursts: list[tuple[int, int]]
) -> None:
    """Two workers at four, one at five, and a job that moves a message from four to five."""
    order = [actor for actor, n_steps in bursts for _ in range(n_steps)]
    store = Turns(tmp_path_factory.mktemp("lake"))
    lake = Lake(store, "main")
    publish(lake, FOUR, FIVE, FOUR)

    def emit() -> None:
        known = tuple(parts.sealed_files(lake, DS))
        at = (FOUR, FIVE, FOUR) if FOUR in known else (FIVE, FIVE, FOUR)
        commit = publish(lake, *at, known=known)
        require_none_passed_over(lake, commit)

    hours = (FOUR, FOUR, FIVE)
    sealers = [lambda hour=hour: parts.seal(lake, DS, hour, "now") for hour in hours]
    play(store, [*sealers, emit], order)
    sealed = parts.sealed_files(lake, DS)
    ids = [
        message
        for files in sealed.values()
        for entry in files
        for message in lake.read_file(entry)["message_id"].to_pylist()
    ]
    assert len(ids) == len(set(ids))
    # Nothing hangs: whatever was refused is sealed once manifests are emitted again.
    publish(lake, *((FOUR, FIVE, FOUR) if FOUR in sealed else (FIVE, FIVE, FOUR)), known=tuple(sealed))
    for hour in {FOUR, FIVE}:
        parts.seal(lake, DS, hour, "now")
