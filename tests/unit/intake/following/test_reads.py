"""Reads from a follower: what it has, lacks, or has otherwise; a real replica, too."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from angelia.errors import AngeliaError
from angelia.intake import database
from angelia.intake.api import create_app
from angelia.intake.database import Unavailable, connect, writing
from angelia.intake.following.reads import FollowedReads, campaigns_of
from angelia.intake.keys import Keys
from angelia.intake.message import now
from angelia.intake.store import Accepted, IntakeStore
from angelia.intake.tables import messages, schema
from tests.unit.catalog.servers import Server, replica_of
from tests.unit.intake.conftest import NOW_US, Make, TestClient

_FOLLOWERS: list[Engine] = []


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    """End what followers hold, whatever became of a test."""
    yield
    while _FOLLOWERS:
        _FOLLOWERS.pop().dispose()


def follow(url: str) -> Engine:
    _FOLLOWERS.append(database.follow(url))
    return _FOLLOWERS[-1]


def copy(engine: Engine, path: Path) -> str:
    """Copy a database as it stands, as a follower that stops there; return its address."""
    # `with connection` would end a transaction, and close nothing.
    with (
        closing(sqlite3.connect(engine.url.database or "")) as leader,
        closing(sqlite3.connect(path)) as ours,
    ):
        leader.backup(ours)
    return f"sqlite:///{path}"


@contextmanager
def down(engine: Engine) -> Iterator[None]:
    """Take the messages away, as a database that does not answer."""
    with writing(engine) as connection:
        connection.exec_driver_sql("ALTER TABLE intake_messages RENAME TO away")
    yield
    with writing(engine) as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO intake_messages")


@pytest.fixture
def two(engine: Engine, draft: Make, tmp_path: Path) -> tuple[IntakeStore, IntakeStore, str, str]:
    """Return leader and follower; an old message is on both, a new one on the leader."""
    leader = IntakeStore(engine)
    (old,) = leader.accept([draft()])
    follower = IntakeStore(follow(copy(engine, tmp_path / "follower.db")))
    (new,) = leader.accept([draft(now_us=NOW_US + 1_000)])
    assert isinstance(old, Accepted)
    assert isinstance(new, Accepted)
    return leader, follower, old.id, new.id


Two = tuple[IntakeStore, IntakeStore, str, str]


def test_what_the_follower_lacks_is_read_at_the_leader(two: Two) -> None:
    leader, follower, old, new = two
    reads = FollowedReads(leader, follower)
    assert [(reads.message("shop", each) or ({},))[0]["id"] for each in (old, new)] == [old, new]
    assert reads.message("shop", "0" * 32) is None
    assert reads.message("bank", old) is None
    assert [row["id"] for row in reads.page("shop", NOW_US, limit=9)[0]] == [old]
    assert [row["id"] for row in FollowedReads(leader).page("shop", NOW_US, limit=9)[0]] == [new, old]


def test_the_leader_is_left_alone_where_the_follower_knows(two: Two, engine: Engine) -> None:
    leader, follower, old, new = two
    reads = FollowedReads(leader, follower)
    with down(engine):
        assert (reads.message("shop", old) or ({},))[0]["id"] == old
        assert len(reads.page("shop", NOW_US, limit=9)[0]) == 1
        with pytest.raises(Unavailable):
            reads.message("shop", new)


def test_a_follower_that_is_down_is_passed_by_for_a_while(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower, old, _ = two
    at, asked = [100.0], 0
    reads = FollowedReads(leader, follower, lambda: at[0])

    def get(*_: str) -> None:
        nonlocal asked
        asked += 1
        raise Unavailable("down")

    with monkeypatch.context() as broken:
        broken.setattr(follower, "get", get)
        for at[0], expected in ((100.0, 1), (104.9, 1), (105.0, 2)):
            assert (reads.message("shop", old) or ({},))[0]["id"] == old
            assert asked == expected
    at[0] = 110.0
    assert len(reads.page("shop", NOW_US, limit=9)[0]) == 1  # the follower's again


def test_what_was_just_changed_is_read_at_the_leader(two: Two) -> None:
    leader, follower, old, _ = two
    at = [100.0]
    reads = FollowedReads(leader, follower, lambda: at[0])
    assert leader.cancel("shop", old, NOW_US)
    assert (reads.message("shop", old) or ({},))[0]["status"] == "accepted"
    reads.note_change("shop", old)
    for at[0], status in ((159.9, "cancelled"), (160.0, "accepted")):
        assert (reads.message("shop", old) or ({},))[0]["status"] == status


@pytest.mark.parametrize(
    ("campaign", "template", "names"),
    [
        (None, None, None),
        ("sale", None, ["sale"]),
        (None, "bill", ["marketing__bill", "transactional__bill"]),
        ("sale", "bill", []),
        ("marketing__bill", None, []),
    ],
)
def test_campaigns_of_a_page(campaign: str | None, template: str | None, names: list[str] | None) -> None:
    assert campaigns_of(campaign, template) == names


def test_a_follower_of_another_form_is_refused(engine: Engine, tmp_path: Path) -> None:
    address = copy(engine, tmp_path / "follower.db")
    newer = connect(address)
    with writing(newer) as connection:
        connection.execute(sa.insert(schema), {"revision": 99})
    newer.dispose()
    with pytest.raises(AngeliaError, match="follower has schema 99"):
        follow(address)


def serving(engine: Engine, follower: Engine) -> tuple[TestClient, Callable[..., Any]]:
    texts = {
        scope: Keys(engine).make("shop", [scope], 10_000, now())[1] for scope in ("write", "read", "cancel")
    }
    client = TestClient(create_app(engine, follower=follower), raise_server_exceptions=False)

    def ask(scope: str, method: str, path: str, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {texts[scope]}"}
        return client.request(method, path, content=json.dumps(body) if body else None, headers=headers)

    return client, ask


def read_back(engine: Engine, follower: Engine) -> None:
    """Read each message at once after it was written and cancelled; a list follows."""
    client, ask = serving(engine, follower)
    small = {"user_id": "anna", "campaign_id": "cart", "class": "marketing"}
    with client:
        for _ in range(20):
            sent = ask("write", "POST", "/v1/messages", **small).json()["id"]
            assert ask("read", "GET", f"/v1/messages/{sent}").json()["status"] == "accepted"
            assert ask("cancel", "DELETE", f"/v1/messages/{sent}").json()["status"] == "cancelled"
            assert ask("read", "GET", f"/v1/messages/{sent}").json()["status"] == "cancelled"


def test_a_client_reads_what_it_wrote(engine: Engine, tmp_path: Path) -> None:
    read_back(engine, follow(copy(engine, tmp_path / "follower.db")))


def test_what_a_client_cancelled_is_shown_so(engine: Engine, draft: Make, tmp_path: Path) -> None:
    (sent,) = IntakeStore(engine).accept([draft()])
    assert isinstance(sent, Accepted)
    client, ask = serving(engine, follow(copy(engine, tmp_path / "follower.db")))
    with client:
        assert ask("read", "GET", f"/v1/messages/{sent.id}").json()["status"] == "accepted"
        for method, scope in (("DELETE", "cancel"), ("GET", "read")):
            assert ask(scope, method, f"/v1/messages/{sent.id}").json()["status"] == "cancelled"


def test_keys_are_known_while_the_leader_is_down(engine: Engine, draft: Make, tmp_path: Path) -> None:
    (sent,) = IntakeStore(engine).accept([draft()])
    assert isinstance(sent, Accepted)
    _, text = Keys(engine).make("shop", ["read"], 10_000, now())
    follower = follow(copy(engine, tmp_path / "follower.db"))
    with writing(engine) as connection:
        for table in ("intake_keys", "intake_messages", "intake_steps"):
            connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO away_{table}")
    with TestClient(create_app(engine, follower=follower), raise_server_exceptions=False) as client:
        headers = {"Authorization": f"Bearer {text}"}
        assert client.get(f"/v1/messages/{sent.id}", headers=headers).status_code == 200
        assert client.get("/v1/messages", headers=headers).status_code == 200
        assert client.get(f"/v1/messages/{'0' * 32}", headers=headers).status_code == 503
        assert client.delete(f"/v1/messages/{sent.id}", headers=headers).status_code == 503


def test_a_streaming_replica_is_followed(postgresql: Server, draft: Make) -> None:
    """A real one: it catches up, answers while it may not be written to, and may end."""
    with postgresql.database() as url, replica_of(postgresql, url) as replica:
        leader, follower = connect(url), follow(replica)
        store = IntakeStore(leader)
        (sent,) = store.accept([draft()])
        assert isinstance(sent, Accepted)
        deadline = time.monotonic() + 30
        while IntakeStore(follower).get("shop", sent.id) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(sa.exc.SQLAlchemyError), writing(follower) as connection:
            connection.execute(sa.delete(messages))
        read_back(leader, follower)
        follower.dispose()  # before its server ends
        leader.dispose()
