"""The report of a small night: its figures equal those counted here, and its page is safe."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from angelia.cli import main
from angelia.commands.report import run_report
from angelia.config import load_settings
from angelia.contracts import arrow, dataset
from angelia.errors import GateClosed, InvalidInput
from angelia.lake import Lake

DS = "2026-11-14"


@pytest.fixture(autouse=True)
def _home(settings_home: Path) -> None:
    """Every test here writes below its own home."""


def page_of(lake: Lake, **options: Any) -> str:
    return Path(run_report(load_settings(), DS, **options)["report"]).read_text("utf-8")


def test_a_night_that_is_not_there_is_one_line(
    lake: Lake, settings_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", "--ds", DS])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"error: nothing was decided for {DS}; run the night first, or name a day that `angelia "
        f"lake log decisions` lists\n"
    )
    assert not (settings_home / "reports").exists()


def test_effects_are_published_and_hold_everyone_once(lake: Lake, night: Any) -> None:
    result = run_report(load_settings(), DS)
    rows = lake.read(lake.require("campaign_effects", ds=DS)).to_pylist()
    assert result["effects"].startswith("campaign_effects/ds=2026-11-14@")
    outcomes = [choice["outcome"] for choices in night.choices for choice in choices]
    assert sum(row["n_users"] for row in rows) == sum(
        outcomes.count(name) for name in ("sent", "holdout_global", "holdout_campaign")
    )
    assert sum(row["n_sent"] for row in rows) == night.n_accepted
    assert sum(row["n_opened"] for row in rows) == night.n_opened
    assert {row["arm"] for row in rows if row["campaign_id"] == "price_drop"} == {
        "control",
        "bold",
        "holdout",
    }
    assert all(row["material_id"] is None and row["n_sent"] == 0 for row in rows if row["arm"] == "holdout")


def test_the_page_is_the_same_for_the_same_commits(lake: Lake, night: Any) -> None:
    assert page_of(lake) == page_of(lake)


def test_the_page_needs_nothing_from_outside(lake: Lake, night: Any) -> None:
    page = page_of(lake)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page
    for forbidden in (" style=", "<script", "<link", "<img", "url(", "@import", "http://", "https://"):
        assert forbidden not in page.replace('content="default-src', ""), forbidden
    assert not re.search(r"<[^>]+\son[a-z]+=", page)


class _Balance(HTMLParser):
    """Fails where tags do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "rect", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line", "circle", "polyline"):
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def test_the_page_is_well_formed_and_says_everything(lake: Lake, night: Any) -> None:
    page = page_of(lake)
    parser = _Balance()
    for tag in ("rect", "polyline"):  # those with a title inside have an end tag
        assert page.count(f"<{tag} ") >= 1
    parser.feed(re.sub(r"</?(rect|polyline|line|circle)[^>]*>", "", page))
    assert parser.open == []
    assert parser.headings == [
        "What needs you",
        "From everyone considered to those who opened",
        "Sends by hour",
        "Planned send times by weekday",
        "What the messages caused",
        "Experiments",
        "Audiences",
        "Reasons for not sending",
        "The plan's certificate",
        "Channel health",
        "Reach",
        "Campaigns",
        "What messages are credited with",
        "Data quality",
        "Made from",
    ]
    charts = re.findall(r"<svg viewBox.*?</svg>", page, re.DOTALL)
    assert len(charts) >= 14  # seven charts, wide and narrow
    for chart in charts:
        assert ElementTree.fromstring(chart).get("aria-label")
    assert "Gone &lt;b&gt;quiet&lt;/b&gt;." in page
    assert "value &lt; 3" in page


def test_nobody_is_on_the_page(lake: Lake, night: Any) -> None:
    page = page_of(lake)
    assert not re.search(r"\bu\d{7}\b", page)
    assert "sandbox-" not in page
    assert night.manifest[0]["message_id"] not in page


def test_what_has_not_happened_yet_is_said(lake: Lake, night: Any, tmp_path: Path) -> None:
    fresh = Lake.open(str(tmp_path / "angelia home" / "lake"))
    for leaf in fresh.partitions("user_events"):
        for key in list(fresh.store.list(f"main/user_events/ds={leaf['ds']}/_commits")):
            fresh.store.delete(key)
    for name in ("delivery_ledger", "push_receipts"):
        for key in [key for key in fresh.store.list(f"main/{name}") if "/_commits/" in key]:
            fresh.store.delete(key)
    page = page_of(lake)
    assert "Not measurable yet: no events have arrived for the planned day (2026-11-15) or after." in page
    assert "Nothing has been delivered yet." in page


def test_a_critical_finding_is_shown_and_ends_with_an_error(
    lake: Lake, night: Any, settings_home: Path
) -> None:
    ledger = lake.read(lake.require("delivery_ledger", ds=DS, send_hour="2026-11-15T04", part="0000"))
    stranger = {**ledger.slice(0, 1).to_pylist()[0], "dispatch_id": "0" * 32, "message_id": "0" * 32}
    with lake.attempt("delivery_ledger", ds=DS, send_hour="2026-11-15T05", part="0000") as attempt:
        attempt.write(
            pa.Table.from_pylist([stranger], schema=arrow.schema(dataset("delivery_ledger"))),
            "part-0000.parquet",
        )
        attempt.publish()
    with pytest.raises(GateClosed, match=r"funnel\.ledger_within_manifest: 1"):
        run_report(load_settings(), DS)
    assert "No message was delivered that no manifest holds" in (
        settings_home / "reports" / f"{DS}.html"
    ).read_text("utf-8")
    assert lake.head("campaign_effects", ds=DS) is None


def test_a_holdout_share_that_no_hash_gives_is_a_warning(lake: Lake, night: Any) -> None:
    documents = lake.read(lake.require("catalog_snapshot", ds=DS)).to_pylist()
    for row in documents:
        if row["kind"] == "policy":
            row["body"] = json.dumps({"holdout": {"share_pct": 2.0}})
    with lake.attempt("catalog_snapshot", ds=DS) as attempt:
        attempt.write(
            pa.Table.from_pylist(documents, schema=arrow.schema(dataset("catalog_snapshot"))),
            "part-0000.parquet",
        )
        attempt.publish()
    assert run_report(load_settings(), DS)["warnings"] == ["holdout_lift.holdout_share_as_configured"]


def test_verdicts_of_the_gates_are_shown(lake: Lake, night: Any) -> None:
    from angelia.quality.verdicts import CheckVerdict, store

    common = {
        "gate": "sources",
        "ds": DS,
        "dataset": "user_profiles",
        "crashed": False,
        "n_rows": 2000,
        "command": "angelia quality rows --x",
    }
    bad = CheckVerdict(check="timezone.rule", column="timezone", severity="critical", success=False,
    n_bad=600, bad_pct=30.0, tolerated_pct=5.0,
                  breach="no iana timezone", **common)  # fmt: skip
    store(lake, "sources", DS, [bad])
    page = page_of(lake)
    assert "no iana timezone" in page
    assert "angelia quality rows --x" in page
    assert '<span class="verdict bad">failed</span>' in page


def test_files_are_written_where_asked(
    lake: Lake, night: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, numbers = tmp_path / "a folder" / "night.html", tmp_path / "numbers.json"
    with pytest.raises(SystemExit) as ended:
        main(["report", "--ds", DS, "--out", str(out), "--summary-json", str(numbers), "--json"])
    assert ended.value.code in (0, None)
    assert json.loads(capsys.readouterr().out) == json.loads(numbers.read_text("utf-8"))
    assert out.stat().st_size > 20_000
    with pytest.raises(InvalidInput, match="cannot write"):
        run_report(load_settings(), DS, out=tmp_path)


def test_report_and_quality_report_link_to_each_other(
    lake: Lake, night: Any, settings_home: Path, tmp_path: Path
) -> None:
    assert 'href="2026-11-14-quality.html"' in page_of(lake)
    beside = settings_home / "reports" / f"{DS}-quality.html"
    assert f'href="{DS}.html"' in beside.read_text("utf-8")
    elsewhere = tmp_path / "elsewhere" / "night.html"
    assert "quality.html" not in page_of(lake, out=elsewhere)
    assert sorted(path.name for path in elsewhere.parent.iterdir()) == ["night.html"]


def test_a_replays_report_does_not_replace_mains(
    lake: Lake, night: Any, settings_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANGELIA_BRANCH", "replay-1")
    assert (
        Path(run_report(load_settings(), DS)["report"])
        == settings_home / "reports" / "replay-1" / f"{DS}.html"
    )


def test_a_warning_is_not_counted_as_a_failed_check(lake: Lake, night: Any) -> None:
    test_a_holdout_share_that_no_hash_gives_is_a_warning(lake, night)
    page = page_of(lake)
    assert re.search(r"<b>0</b><span>checks that failed<br>[^<]*; 1 more warn<", page)


def test_what_needs_a_person_stands_first(lake: Lake, night: Any) -> None:
    calm = page_of(lake)
    assert "Nothing: all " in calm[calm.index('id="needs"') : calm.index('id="funnel"')]
    test_a_holdout_share_that_no_hash_gives_is_a_warning(lake, night)
    page = page_of(lake)
    needs = page[page.index('id="needs"') : page.index('id="funnel"')]
    assert needs.count("<li>") == needs.count(">warning<") == 1
    assert "First exception: " in needs


def test_a_conversion_that_is_no_event_type_is_refused(lake: Lake, night: Any, settings_home: Path) -> None:
    with pytest.raises(InvalidInput, match="--conversion"):
        run_report(load_settings(), DS, conversion='<meta http-equiv="refresh" content="0">')
    assert not list(settings_home.rglob("*.html"))


def test_lift_that_will_still_grow_is_not_coloured(lake: Lake, night: Any) -> None:
    page = page_of(lake)
    grows = "will still grow" in page
    assert grows != ("Holm&#x27;s correction" in page or "Holm's correction" in page)
    assert not (grows and re.search(r'class="dot (up|down)"', page))
