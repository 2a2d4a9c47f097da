"""Notices to group bots and webhooks: what is on the wire, and what stays out of the log."""

import json
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "dags"))

from _notify import TALKATIVE, FailureNotifier

KEY = "11111111-2222-3333-4444-555555555555"
TEXT = "nightly_personalization.check_sources of 2026-11-14 failed (try 3): 300 <nulls> *in* a_b_c"
# As each provider shows it to whoever makes a bot, or as Apprise's documents write it.
BOTS = {
    "WeCom Bot": f"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={KEY}",
    "DingTalk": "dingtalk://abcdef0123456789",
    "Slack": "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "Power Automate / Workflows (for MSTeams)": (
        "https://prod-15.westus.logic.azure.com:443/workflows/643e69f83c8944438d68119179a10a64/triggers/"
        "manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=KODuebWbDGYFr0z0eu"
    ),
}


class Wire(BaseHTTPRequestHandler):
    """Keeps path and body; refuses below /refuses."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append((self.path, body))
        self.send_response(403 if self.path.startswith("/refuses") else 200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *words):
        """Stay silent."""


@pytest.fixture(scope="module")
def server():
    """Yield a server that bots are led to."""
    server = HTTPServer(("127.0.0.1", 0), Wire)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def wire(server):
    """Return the server with nothing received, and its host."""
    server.received = []
    return server, f"127.0.0.1:{server.server_port}"


@pytest.fixture
def noisy():
    """Let the libraries write all they would, as on a machine that logs at DEBUG."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.NOTSET)


def posted(monkeypatch, *addresses):
    """Post a notice to addresses; return what the notifier wrote into the task's log."""
    monkeypatch.setenv("ANGELIA_NOTIFY_URL", "\n".join(addresses))
    lines = []
    log = SimpleNamespace(error=lambda text, *words: lines.append(text % words))
    monkeypatch.setattr(FailureNotifier, "log", log)
    FailureNotifier().post(TEXT)
    return lines


def test_a_bot_and_a_webhook_get_the_line_as_it_is(wire, monkeypatch):
    server, host = wire
    assert posted(monkeypatch, f"json://{host}/bot", f"http://{host}/hook") == []
    (bot, first), (hook, second) = server.received
    assert (bot, first["message"], hook, second) == ("/bot", TEXT, "/hook", {"text": TEXT})


@pytest.mark.parametrize(
    ("bot", "at", "of"),
    [
        ("WeCom Bot", "apprise.plugins.wecombot.NotifyWeComBot", lambda body: body["text"]["content"]),
        ("DingTalk", "apprise.plugins.dingtalk.NotifyDingTalk", lambda body: body["text"]["content"]),
        ("Slack", "apprise.plugins.slack.NotifySlack", lambda body: body["attachments"][0]["text"]),
    ],
)
def test_a_group_bot_gets_its_own_form(wire, monkeypatch, bot, at, of):
    server, host = wire
    name = "webhook_url" if bot == "Slack" else "notify_url"
    path = {"WeCom Bot": "?key={key}", "DingTalk": "?access_token={token}", "Slack": ""}[bot]
    monkeypatch.setattr(f"{at}.{name}", f"http://{host}/own{path}")
    assert posted(monkeypatch, BOTS[bot]) == []
    [(path, body)] = server.received
    assert path.startswith("/own")
    assert of(body).replace("&lt;", "<").replace("&gt;", ">") == TEXT


@pytest.mark.parametrize("kind", BOTS)
def test_an_address_as_the_provider_shows_it_is_taken(kind):
    from apprise import Apprise

    assert Apprise.instantiate(BOTS[kind]).service_name == kind


def test_a_refusal_is_logged_without_the_key(wire, monkeypatch, noisy, caplog):
    _, host = wire
    caplog.set_level(logging.DEBUG)
    addresses = (
        f"json://{host}/refuses/{KEY}",
        f"http://{host}/refuses/{KEY}",
        f"json://127.0.0.1:9/{KEY}",
        f"http://127.0.0.1:9/{KEY}",
        f"no-such-bot://{KEY}",
        KEY,
    )
    lines = posted(monkeypatch, *addresses)
    assert len(lines) == len(addresses)
    assert [line.partition(" of ANGELIA")[0][-1] for line in lines] == list("123456")
    assert KEY not in "".join(lines) + caplog.text


def test_an_address_that_fails_leaves_the_others_theirs(wire, monkeypatch):
    server, host = wire

    def raises(*_, **__):
        raise RuntimeError(KEY)

    monkeypatch.setattr("apprise.plugins.wecombot.NotifyWeComBot.send", raises)
    lines = posted(monkeypatch, BOTS["WeCom Bot"], f"http://{host}/hook")
    assert [path for path, _ in server.received] == ["/hook"]
    [line] = lines
    assert KEY not in line


def failed(exception):
    ti = SimpleNamespace(
        dag_id="nightly_personalization",
        task_id="check_sources",
        try_number=3,
        log_url="http://localhost/log",
    )
    return {"ti": ti, "ds": "2026-11-14", "run_id": "r", "exception": exception}


def test_a_failure_notice_holds_no_foreign_errors_text(dags, receiver, monkeypatch):
    from airflow.sdk.exceptions import AirflowFailException

    monkeypatch.setenv("ANGELIA_NOTIFY_URL", f"http://127.0.0.1:{receiver.server_port}/hook")
    for dag in dags.values():
        for task in dag.tasks:
            assert task.on_failure_callback, task.task_id
    notifier = dags["nightly_personalization"].get_task("check_sources").on_failure_callback[0]
    notifier.notify(failed(AirflowFailException("error: gate sources of 2026-11-14 is closed: 300 nulls")))
    notifier.notify(failed(ValueError("anna@example.org")))
    first, second = (notice["text"] for notice in receiver.received)
    assert (
        "nightly_personalization.check_sources of 2026-11-14 failed (try 3): gate sources of "
        "2026-11-14 is closed: 300 nulls"
    ) in first
    assert second.endswith("ValueError http://localhost/log")


def test_a_notice_that_cannot_be_delivered_fails_nothing(dags, monkeypatch):
    notifier = dags["nightly_personalization"].get_task("check_sources").on_failure_callback[0]
    for url in ("http://127.0.0.1:9/nobody", "file:///etc/passwd", ""):
        monkeypatch.setenv("ANGELIA_NOTIFY_URL", url)
        notifier.notify(failed(ValueError("x")))
