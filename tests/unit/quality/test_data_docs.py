"""Data Docs: Great Expectations' own pages, without rows, scripts or outside links."""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from angelia import cli
from angelia.config import load_settings
from angelia.contracts import CONTRACTS, gx
from angelia.contracts.rows import valid_rows
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Lake
from angelia.quality import CheckVerdict, run_gate
from angelia.quality.data_docs import clean
from angelia.quality.publish import publish_docs, publish_report
from angelia.quality.verdicts import store

DS = "2026-11-14"
CANARY = "canary-7f3a@example.org"


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources with canaries for ids and addresses, in rows that break rules and in good rows.

    The gate has checked them, and one check crashed on a canary.
    """
    root = tmp_path_factory.mktemp("gated") / "lake"
    lake = Lake.open(str(root))
    for name in ("user_profiles", "user_endpoints", "user_preferences", "user_events"):
        table = valid_rows(name, 200)
        for column in ("user_id", "address"):
            if column in table.column_names:
                values = [
                    f"{CANARY} {i}" if i < 90 else value for i, value in enumerate(table[column].to_pylist())
                ]
                table = table.set_column(
                    table.column_names.index(column), column, pa.array(values, pa.string())
                )
        with lake.attempt(name, ds=DS) as attempt:
            attempt.write(table, "part-0000.parquet", conform=False)
            attempt.publish()
    run_gate(lake, "sources", DS)
    crashed = CheckVerdict(
        "features", DS, "user_days", "user_days.ordinal.not_null", "ordinal", "critical", False, True, None,
        None, None, 0.0, "null", "angelia …",
        error=f"ConversionException: Could not convert string '{CANARY}'",
    )  # fmt: skip
    store(lake, "features", DS, [crashed])
    return root


@pytest.fixture
def checked(gated: Path, settings_home: Path) -> Lake:
    """The gated lake, copied into the test's home."""
    shutil.copytree(gated, settings_home / "lake")
    return Lake.open(str(settings_home / "lake"))


def no_network(*_: Any) -> None:
    raise AssertionError("something wants to talk to the network")


def written(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()
    }


def test_no_byte_of_a_person_and_no_way_out(
    checked: Lake, settings_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gx.great_expectations()
    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    result = publish_docs(load_settings())
    folder = Path(result["docs"]).parent
    pages = written(folder)
    everything = "\n".join([*pages, *pages.values()])

    assert (result["suites"], result["validations"], result["pages"], len(pages)) == (5, 5, 11, 11)
    assert "user_endpoints" in everything
    assert "canary" not in everything
    personal = {
        value
        for name, contract in CONTRACTS.items()
        if checked.partitions(name)
        for column in contract.columns
        if column.personal
        for value in checked.read(checked.require(name, ds=DS), [column.name])[column.name].to_pylist()
        if value is not None
    }
    assert len(personal) > 200
    assert [value for value in personal if str(value) in everything] == []
    assert str(settings_home) not in everything
    assert "site-packages" not in everything
    for address, page in pages.items():
        assert "<script" not in page.lower(), address
        assert not re.search(r"(?:https?:)?//[a-z]", page, re.IGNORECASE), address
        assert "default-src 'none'" in page, address

    publish_docs(load_settings())
    assert written(folder) == pages, "equal verdicts, equal bytes"
    assert [path.name for path in folder.parent.iterdir()] == ["data_docs"], "nothing is left beside it"
    assert 'href="data_docs/index.html"' in Path(publish_report(load_settings())["report"]).read_text("utf-8")


def test_it_says_what_the_gate_said(
    checked: Lake, settings_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["quality", "docs", "--ds", DS, "--days", "3"])
    assert stop.value.code == 0
    folder = settings_home / "reports" / "data_docs"
    assert capsys.readouterr().out == f"5 suites, 5 validations: {folder / 'index.html'}\n"
    index = (folder / "index.html").read_text("utf-8")
    for target in re.findall(r'href="([^"#]+)"', index):
        assert (folder / target).is_file() or target == "../quality.html"
    (endpoints,) = folder.glob(f"validations/sources/user_endpoints/{DS}/*/*.html")
    page = " ".join(re.sub(r"<[^>]+>", " ", endpoints.read_text("utf-8")).split())
    assert re.search(
        r"user_id\.pattern\.bad_pct .{0,120}in at most 1 % of rows [\d,]+ of [\d,]+ rows: [\d.]+ %", page
    )
    assert "Status: Failed" in page
    (crash,) = folder.glob(f"validations/features/user_days/{DS}/*/*.html")
    assert "The check could not run: the data may be good or bad." in crash.read_text("utf-8")
    assert "fa-exclamation-triangle" in crash.read_text("utf-8")
    # Every link of every page leads somewhere on the site.
    for path in folder.rglob("*.html"):
        for target in re.findall(r'href="([^"#]+)[#"]', path.read_text("utf-8")):
            assert (path.parent / target).resolve().exists() or target == "../quality.html", (
                path.name,
                target,
            )


def test_cleaning_drops_what_could_run_or_call_home() -> None:
    page = (
        '<html><head>\n<link href="https://cdn.example/x.css"><script '
        'src="//cdn.example/x.js"></script><style>p{}</style></head>'
        '<body onload="go()"><!-- https://a.example --><img '
        "src='https://b.example/logo.png?d=1'/><a href=\"https://c.example\">our site</a>"
        '<a href="../index.html" style="color:red">home</a><footer>newsletter</footer></body></html>'
    )
    kept = clean(page)
    assert "our site" in kept
    assert '<a href="../index.html">home</a>' in kept
    for gone in ("example", "onload", "<script", "<img", "newsletter", "color:red"):
        assert gone not in kept


def test_nothing_to_show_and_nowhere_to_write(lake: Lake, settings_home: Path) -> None:
    with pytest.raises(NotFound, match="no gate was ever checked"):
        publish_docs(load_settings())
    (settings_home / "reports").write_text("a file")
    store(lake, "sources", DS, [])
    with pytest.raises(InvalidInput, match="cannot write"):
        publish_docs(load_settings())
