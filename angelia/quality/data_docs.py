"""Great Expectations' Data Docs of the gates' checks: measures, never a row.

Reads the newest verdicts of the last days on this branch; writes HOME/reports/data_docs. Nothing is validated
again: a page shows the gate's verdict as it was, a crash as a crash.

Surprise: the site as Great Expectations writes it requests styles and scripts from half a dozen servers,
shows nothing without them, and prints tracebacks with paths. All of that is removed here, and our own style
and index are put in. Building imports Great Expectations (about eight seconds).
"""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from angelia.contracts import CONTRACTS, gx
from angelia.contracts.constraints import Constraint, Kind, constraints
from angelia.contracts.core import Severity
from angelia.drawing.files import require_writable, write_text
from angelia.drawing.page import STYLE as BASE_STYLE
from angelia.drawing.page import Html, empty, links, page, section, style_source, table
from angelia.errors import AngeliaError, InvalidInput
from angelia.quality.gates import EXISTS, GATES, READABLE
from angelia.quality.history import History
from angelia.quality.states import WORDS, state
from angelia.quality.verdicts import CheckVerdict

FOLDER = "data_docs"
STYLE = BASE_STYLE + (Path(__file__).parent / "data_docs.css").read_text("utf-8")
CRASHED = "The check could not run: the data may be good or bad."

Group = tuple[str, str]


def build(history: History, folder: Path) -> dict[str, int]:
    """Write the site of a history's verdicts; count its suites, validations and pages.

    The new site replaces the older one only when it is complete.

    Raises:
        InvalidInput: the folder cannot be written.
        AngeliaError: Great Expectations left out pages; the older site stays.
    """
    require_writable(folder / "index.html")
    groups = _groups(history)
    with tempfile.TemporaryDirectory(prefix=f".{FOLDER}-", dir=folder.parent) as temporary:
        site = Path(temporary) / FOLDER
        site.mkdir()
        addresses = _write_site(groups, site)
        write_text(site / "index.html", _index(history, groups, addresses))
        pages = len(list(site.rglob("*.html")))
        missing = [address for address in addresses.values() if not (site / address).is_file()]
        if missing:  # it logs what it cannot render, and goes on
            raise AngeliaError(
                f"Great Expectations wrote {len(missing)} of {len(addresses)} pages not at all, "
                f"the first is {missing[0]}"
            )
        try:
            if folder.exists():
                folder.rename(Path(temporary) / "older")  # deleted with the temporary folder
            site.rename(folder)
        except OSError as error:
            raise InvalidInput(
                f"cannot replace {folder}: {error.strerror}", fix="somebody else writes it; run it again"
            ) from None
    return {"suites": len(groups), "validations": sum(map(len, groups.values())), "pages": pages}


def _groups(history: History) -> dict[Group, dict[str, list[CheckVerdict]]]:
    """Return the verdicts by (gate, dataset) and day, in the gates' order."""
    groups: dict[Group, dict[str, list[CheckVerdict]]] = {}
    for gate in GATES:
        for day in reversed(history.days):
            for verdict in history.verdicts.get((day, gate), ()):
                groups.setdefault((gate, verdict.dataset), {}).setdefault(day, []).append(verdict)
    return groups


def _checks(gate: str, name: str) -> list[Constraint]:
    """Return every check of a dataset in a gate.

    These are its contract's checks, the invariants on it, and the checks that its partition exists and can be
    read.
    """
    whole = [
        Constraint(EXISTS, Kind.RULE, (), 0.0, Severity.CRITICAL, "no commit"),
        Constraint(READABLE, Kind.RULE, (), 0.0, Severity.CRITICAL, "unreadable"),
    ]
    contract = CONTRACTS.get(name)  # verdicts outlive datasets
    invariants = [invariant.constraint for invariant in GATES[gate].invariants if invariant.dataset == name]
    return [*whole, *(constraints(contract) if contract else ()), *invariants]


def _write_site(
    groups: Mapping[Group, Mapping[str, Sequence[CheckVerdict]]], site: Path
) -> dict[tuple[str, str, str], str]:
    """Let Great Expectations write its pages, clean them, and return their addresses.

    They are keyed by (gate, dataset, day); an empty day is the suite.
    """
    library = gx.great_expectations()
    from great_expectations.core import ExpectationSuiteValidationResult, RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own use of pandas and marshmallow is not ours to mend
        context = library.get_context(mode="ephemeral")
        for other in list(context.get_site_names()):
            context.delete_data_docs_site(other)
        backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site)}
        context.add_data_docs_site(
            site_name=FOLDER,
            site_config={
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": backend,
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            },
        )
        addresses: dict[tuple[str, str, str], str] = {}
        for (gate, name), by_day in groups.items():
            expected = {check.name: check for check in _checks(gate, name)}
            suite = context.suites.add(
                gx.suite_of(
                    f"{gate}.{name}", CONTRACTS[name].version if name in CONTRACTS else 0, expected.values()
                )
            )
            addresses[gate, name, ""] = f"expectations/{gate}/{name}.html"
            for day, verdicts in by_day.items():
                results = [_result(verdict, expected) for verdict in verdicts]
                at = datetime.fromisoformat(day).replace(tzinfo=UTC)
                run = RunIdentifier(run_name=day, run_time=at)
                addresses[gate, name, day] = (
                    f"validations/{gate}/{name}/{day}/{at:%Y%m%dT%H%M%S.%fZ}/{gate}-{name}.html"
                )
                key = ValidationResultIdentifier(
                    ExpectationSuiteIdentifier(suite.name), run, f"{gate}-{name}"
                )
                good = sum(verdict.success for verdict in verdicts)
                statistics = {
                    "evaluated_expectations": len(verdicts),
                    "successful_expectations": good,
                    "unsuccessful_expectations": len(verdicts) - good,
                    "success_percent": 100.0 * good / len(verdicts),
                }
                meta = {
                    "run_id": run,
                    "great_expectations_version": library.__version__,
                    "commits": list(verdicts[0].commits),
                }
                context.validation_results_store.set(
                    key,
                    ExpectationSuiteValidationResult(
                        success=good == len(verdicts),
                        results=results,
                        suite_name=suite.name,
                        statistics=statistics,
                        meta=meta,
                    ),
                )
        context.build_data_docs(site_names=[FOLDER])
    shutil.rmtree(site / "static", ignore_errors=True)  # four megabytes of fonts and animations
    for path in site.rglob("*.html"):
        path.write_text(clean(path.read_text("utf-8")), "utf-8")
    return addresses


def _result(verdict: CheckVerdict, expected: Mapping[str, Constraint]) -> Any:
    """Return a check's result as Great Expectations would have returned it then.

    Of a crash it holds the fact only.
    """
    from great_expectations.core import ExpectationValidationResult

    name = verdict.check.removeprefix(f"{verdict.dataset}.")
    check = expected.get(name) or expected.get(verdict.check)
    if check is None:  # the contract has moved on since
        check = Constraint(
            name, Kind.RULE, (), verdict.tolerated_pct, Severity(verdict.severity), verdict.breach
        )
    observed = "not measured" if verdict.bad_pct is None else f"{verdict.bad_pct:g} %"
    if verdict.n_bad is not None and verdict.n_rows is not None:
        observed = f"{verdict.n_bad:,} of {verdict.n_rows:,} rows: {observed}"
    info = {
        "raised_exception": verdict.crashed,
        "exception_message": CRASHED if verdict.crashed else "",
        "exception_traceback": "",
    }
    return ExpectationValidationResult(
        success=verdict.success,
        expectation_config=gx.expectation(check).configuration,
        result={} if verdict.crashed else {"observed_value": observed},
        exception_info=info,
    )


_DROPPED = (
    re.compile(r"<script\b.*?</script>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<style\b.*?</style>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<footer\b.*?</footer>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"<(?:link|img|input)\b[^>]*>", re.IGNORECASE),
    re.compile(r"\s(?:style|on\w+|data-[\w-]+)=(?:\"[^\"]*\"|'[^']*')", re.IGNORECASE),
    re.compile(r"<title>\s*</title>"),
    re.compile(
        r"-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    ),  # drawn anew each time; nothing refers to it any more
    re.compile(r"<a\b[^>]*>\s*Show more info\.*\s*</a>"),
)
_OUTWARDS = re.compile(r"<a\b[^>]*\bhref=[\"']?(?:https?:)?//[^>]*>(.*?)</a>", re.DOTALL | re.IGNORECASE)
_BLANK = re.compile(r"\n\s*\n+")
_POLICY = f"default-src 'none'; style-src {style_source(STYLE)}; base-uri 'none'; form-action 'none'"
_HEAD = (
    f'<head>\n<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
    f'<meta name="color-scheme" content="light dark">\n<style>{STYLE}</style>\n'
)


def clean(text: str) -> str:
    """Return a Great Expectations page that needs no other file but one style sheet.

    It has no script and requests nothing from elsewhere; the style sheet is named by its hash.
    """
    for pattern in _DROPPED:
        text = pattern.sub("", text)
    return _BLANK.sub("\n", _OUTWARDS.sub(r"\1", text)).replace("<head>\n", _HEAD, 1)


def _index(
    history: History,
    groups: Mapping[Group, Mapping[str, Sequence[CheckVerdict]]],
    addresses: Mapping[tuple[str, str, str], str],
) -> str:
    """Return the site's first page: a table of validations, days to the right, and the suites."""
    days = [day for day in reversed(history.days) if any(day in by_day for by_day in groups.values())]
    rows = []
    for (gate, name), by_day in groups.items():
        row: dict[str, Any] = {
            "gate": gate,
            "dataset": name,
            "suite": _to(addresses[gate, name, ""], str(len(_checks(gate, name)))),
        }
        for day in days:
            row[day] = (
                _to(addresses[gate, name, day], WORDS[state(by_day[day])], state(by_day[day]))
                if day in by_day
                else None
            )
        rows.append(row)
    columns = [("dataset", "dataset"), ("gate", "gate"), ("suite", "checks"), *((day, day) for day in days)]
    lead = "What each gate said of each dataset's checks, day by day; a suite lists the checks themselves."
    body = (
        table(columns, rows, "Suites and validations")
        if rows
        else empty("No gate was checked in these days.")
    )
    head = f"<h1>Data Docs</h1>{links([('../quality.html', 'Data quality')])}"
    foot = "<p>Pages by Great Expectations, over measures: counts and percents, no row of any dataset.</p>"
    return page(
        "Angelia: Data Docs", head, [section("validations", "Suites and validations", lead, body)], foot
    )


def _to(address: str, text: str, its: str = "") -> Html:
    css = {"ok": "good", "warned": "warn", "failed": "bad", "crashed": "bad"}.get(its, "")
    return Html(f'<a href="{escape(address, quote=True)}" class="{css}">{escape(text)}</a>')
