"""Opening the link of List-Unsubscribe changes nothing, its button does."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from angelia.delivery.channels.smtp import unsubscribe_token
from angelia.lake.store import LocalStore
from angelia.receive.api import create_app
from angelia.receive.journal import Journal
from angelia.receive.receiver import CallbackReceiver
from angelia.receive.trust import Trust

with warnings.catch_warnings():
    # It wants the successor of httpx, which is not in the lock; httpx does.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

NOW = datetime(2026, 11, 15, 6, tzinfo=UTC)
SECRET, DISPATCH = b"m" * 32, "ab" * 16
LINK = f"/unsubscribe?d={DISPATCH}&t={unsubscribe_token(SECRET, DISPATCH)}"
BROWSER = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(LocalStore(tmp_path))


@pytest.fixture
def client(journal: Journal) -> Iterator[TestClient]:
    with TestClient(create_app(CallbackReceiver(journal, Trust(mail_secret=SECRET), lambda: NOW))) as client:
        yield client


def kinds(journal: Journal) -> list[str]:
    return [event.kind for _, events in journal.pending() for event in events]


def test_opening_the_link_shows_a_button_and_changes_nothing(client: TestClient, journal: Journal) -> None:
    page = client.get(LINK)
    assert page.status_code == 200
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"  # the link's token is in its address
    assert DISPATCH not in page.text
    assert kinds(journal) == []


def test_the_button_unsubscribes_and_says_so_in_words(client: TestClient, journal: Journal) -> None:
    fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', client.get(LINK).text))
    for _ in range(2):  # pressed twice
        answer = client.post(LINK, data=fields, headers=BROWSER)
        assert (answer.status_code, "You will get no more" in answer.text) == (200, True)
    assert kinds(journal) == ["unsubscribed"]


def test_a_mail_program_is_answered_without_a_page(client: TestClient, journal: Journal) -> None:
    answer = client.post(LINK, data={"List-Unsubscribe": "One-Click"})
    assert answer.json() == {"taken": 1, "repeated": False}
    assert kinds(journal) == ["unsubscribed"]


@pytest.mark.parametrize("link", ["/unsubscribe", LINK[:-1], LINK.replace("ab", "cd", 1)])
def test_a_link_that_was_cut_or_changed_unsubscribes_nobody(
    link: str, client: TestClient, journal: Journal
) -> None:
    page = client.get(link)
    assert (page.status_code, "open it once more" in page.text, "<button>" in page.text) == (401, True, False)
    assert client.post(link, data={"List-Unsubscribe": "One-Click"}, headers=BROWSER).status_code == 401
    assert kinds(journal) == []


def test_another_method_is_told_which_are_there(client: TestClient) -> None:
    answer = client.put(LINK)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, GET")
