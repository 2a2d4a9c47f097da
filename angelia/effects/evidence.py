"""The report's evidence: the plan's certificate, the data's verdicts, and the commits.

Reads the meta of the decisions commit, the gates' verdicts and the checks of the report's tables; returns
HTML sections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from angelia.contracts.certificate import Limit, exploration_says, later_says, limits_of, scarcity
from angelia.drawing import charts
from angelia.drawing.charts import Series
from angelia.drawing.page import Html, details, empty, facts, figure, links, listed, section, table
from angelia.drawing.svg import number
from angelia.effects.findings import Findings
from angelia.effects.summary import manifest_sha256
from angelia.effects.tables import Check
from angelia.output import written_out


def certificate(findings: Findings) -> str:
    """Return the section on how near the plan is to the best one, and what was scarce."""
    decisions = findings.sources.only("decisions")
    lead = (
        "How near the plan is to the best possible one, and which hours were scarce: an hour's shadow "
        "price is what one more message in it is worth."
    )
    if decisions is None or "bound_micros" not in decisions.meta:
        return section(
            "plan", "The plan's certificate", lead, empty("This night's decisions carry no certificate.")
        )
    meta = decisions.meta
    rows = [
        ("Value of the plan", f"{meta['primal_micros'] / 1e6:,.2f}"),
        ("Proven bound", f"{meta['bound_micros'] / 1e6:,.2f}"),
        ("Gap", f"{meta['gap_pct']:.3f} %"),
        ("Cost of fatigue", later_says(meta)),
        ("Exploration", exploration_says(meta.get("n_explore", 0), meta.get("n_tried"))),
        ("Hours already passed", number(meta.get("hours_passed", 0))),
    ]
    parts = [facts(rows)]
    limits = limits_of(meta)
    hourly = [limit for limit in limits if limit.is_hourly]
    says: dict[str | None, str] = {one.channel: one.says for one in scarcity(meta)}
    for channel in dict.fromkeys(limit.channel for limit in hourly):
        own = [limit for limit in hourly if limit.channel == channel]
        labels = [str(limit.slot).split("T")[-1][:2] for limit in own]
        prices = [limit.price_micros / 1e6 for limit in own]
        # No hour of a channel that carried nothing was scarce.
        if not any(limit.used for limit in own):
            continue
        parts.append(f"<h3>{channel}: use of capacity by UTC hour, %</h3>")
        use = [_use_pct(limit) or 0.0 for limit in own]
        parts.append(
            figure(
                charts.columns(
                    labels,
                    [Series("use of capacity, %", use, "s2")],
                    f"{channel}: use of capacity by hour, percent",
                    height=150,
                )
            )
        )
        if any(prices):
            parts.append(f"<h3>{channel}: shadow price of an hour (UTC), in value a message</h3>")
            parts.append(
                figure(
                    charts.lines(
                        labels,
                        [Series("shadow price", prices, "s3")],
                        f"{channel}: shadow price by hour",
                        height=150,
                    )
                )
            )
        parts.append(f'<p class="soft">{escape(says[channel])}</p>')
    shown = [
        {
            "limit": limit.label,
            "used": limit.used,
            "capacity": limit.capacity,
            "use": _use_pct(limit),
            "price": limit.price_micros / 1e6,
        }
        for limit in limits
    ]
    columns = [
        ("limit", "limit"),
        ("used", "used"),
        ("capacity", "at most"),
        ("use", "use, %"),
        ("price", "shadow price"),
    ]
    return section(
        "plan",
        "The plan's certificate",
        lead,
        *parts,
        details("Every limit", table(columns, shown, "Limits of the plan")),
    )


def _use_pct(limit: Limit) -> float | None:
    return 100 * limit.used / limit.capacity if limit.capacity else None


def _word(success: bool, crashed: bool, severity: str) -> Html:
    if success:
        return Html('<span class="verdict good">passed</span>')
    if crashed:
        return Html('<span class="verdict bad">check crashed</span>')
    kind, word = ("bad", "failed") if severity == "critical" else ("warn", "warning")
    return Html(f'<span class="verdict {kind}">{word}</span>')


def needs(findings: Findings) -> str:
    """Return the section on what a person should look at, the worst first."""
    items = []
    funnel = {row["name"]: row["n"] for row in findings.tables["funnel"].rows}
    if funnel.get("in manifests") and not findings.tables["channel_health"].rows:
        items.append((0, Html("Nothing of the night has been delivered yet.")))
    for v in findings.verdicts:
        if not v["success"]:
            where = f"{v['dataset']}.{v['column']}" if v["column"] else v["dataset"]
            rows = "" if v["n_bad"] is None else f" in {number(v['n_bad'])} rows"
            what = f"the check {v['check']} crashed" if v["crashed"] else f"{v['breach']}{rows}"
            is_bad = v["crashed"] or v["severity"] == "critical"
            line = (
                f"{_word(False, v['crashed'], v['severity'])}: {escape(f'{where}: {what}')}. See the rows: "
                f'<code class="command">{escape(v["command"])}</code>'
            )
            items.append((0 if is_bad else 1, Html(line)))
    for check in findings.checks:
        if check.failed:
            line = (
                f"{_word(False, False, check.severity)}: {escape(check.says)} "
                f'<span class="soft">First exception: {escape(_example(check))}.</span>'
            )
            items.append((0 if check.severity == "critical" else 1, Html(line)))
    n = len(findings.verdicts) + len(findings.checks)
    if not items:
        return section("needs", "What needs you", f"Nothing: all {number(n)} checks hold.")
    items.sort(key=lambda item: item[0])
    lead = f"What the {number(n)} checks of the gates and of this report object to, the worst first."
    return section("needs", "What needs you", lead, listed([line for _, line in items]))


def quality(findings: Findings) -> str:
    """Return the section on what gates and the report's own checks found."""
    lead = "What the gates found in the night's data, and what this report's own checks found in its tables."
    parts = [
        links(
            [(findings.quality_page, "Verdicts, row counts and nulls of the last days")]
            if findings.quality_page
            else []
        )
    ]
    gates: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for verdict in findings.verdicts:
        gates.setdefault((verdict["gate"], verdict["dataset"]), []).append(verdict)
    if gates:
        rows = [
            {
                "gate": gate,
                "dataset": dataset,
                "rows": max((v["n_rows"] for v in own if v["n_rows"] is not None), default=None),
                "checks": len(own),
                "failed": sum(not v["success"] for v in own),
                "verdict": _word(all(v["success"] for v in own), any(v["crashed"] for v in own), _worst(own)),
            }
            for (gate, dataset), own in gates.items()
        ]
        columns = [
            ("gate", "gate"),
            ("dataset", "dataset"),
            ("rows", "rows"),
            ("checks", "checks"),
            ("failed", "failed"),
            ("verdict", "verdict"),
        ]
        parts.append(table(columns, rows, "Gates"))
    else:
        parts.append(empty("No gate was checked for this day."))
    # Tolerated rows are shown, too, folded away: jobs leave them out, so figures lack them.
    bad = [v for v in findings.verdicts if not v["success"] or v["n_bad"]]
    if bad:
        shown = [
            {
                "what": f"{v['dataset']}.{v['column']}" if v["column"] else v["dataset"],
                "breach": v["breach"],
                "n_bad": v["n_bad"],
                "bad_pct": v["bad_pct"],
                "tolerated": v["tolerated_pct"],
                "verdict": _word(v["success"], v["crashed"], v["severity"]),
                "command": Html(f'<code class="command">{escape(v["command"])}</code>'),
            }
            for v in bad
        ]
        columns = [
            ("what", "where"),
            ("breach", "breach"),
            ("n_bad", "rows"),
            ("bad_pct", "%"),
            ("tolerated", "tolerated, %"),
            ("verdict", "verdict"),
            ("command", "see the rows"),
        ]
        failed = any(not v["success"] for v in bad)
        inner = table(
            columns,
            shown,
            "Rows that break a rule; jobs drop and count those that the contract tolerates",
        )
        parts.append(
            inner
            if failed
            else details(f"{len(bad)} rules with rows that break them, all within what is tolerated", inner)
        )
    rows = [
        {
            "table": c.table,
            "says": c.says,
            "found": c.n_rows,
            "verdict": _word(not c.failed, False, c.severity),
            "example": _example(c),
        }
        for c in sorted(findings.checks, key=lambda check: not check.failed)
    ]
    columns = [
        ("table", "table"),
        ("says", "what holds"),
        ("found", "exceptions"),
        ("verdict", "verdict"),
        ("example", "first exception"),
    ]
    n_failed = sum(check.failed for check in findings.checks)
    inner = table(columns, rows, "Checks of the report's tables")
    parts.append(f"<h3>This report's own checks: {len(rows) - n_failed} of {len(rows)} passed</h3>")
    parts.append(details("All checks", inner) if not n_failed else inner)
    return section("quality", "Data quality", lead, *parts)


def _worst(verdicts: Sequence[Mapping[str, Any]]) -> str:
    return (
        "critical" if any(v["severity"] == "critical" and not v["success"] for v in verdicts) else "warning"
    )


def _example(check: Check) -> str:
    return ", ".join(
        f"{name} {written_out(value, 4)}" if isinstance(value, float) else f"{name} {value}"
        for name, value in check.example.items()
    )


def made_from(findings: Findings) -> str:
    """Return the section that names plan, manifest and every commit read."""
    sources = findings.sources
    decisions, manifest = sources.only("decisions"), sources.only("dispatch_manifest")
    entries = [
        ("Plan", decisions.citation() if decisions else "none"),
        ("Decided by", decisions.code_version if decisions else "–"),
        (
            "Manifest",
            f"{manifest.citation()}, {number(len(manifest.files))} parts, {number(manifest.rows)} rows"
            if manifest
            else "none",
        ),
        ("Manifest sha256", manifest_sha256(manifest) or "–"),
    ]
    refs = sources.refs()
    commits = table(
        [("ref", "commit")],
        [{"ref": Html(f"<code>{escape(ref)}</code>")} for ref in refs],
        "Commits this page was made from",
    )
    lead = "The same commits give the same page, byte for byte."
    return section(
        "source", "Made from", lead, facts(entries), details(f"All {number(len(refs))} commits", commits)
    )
