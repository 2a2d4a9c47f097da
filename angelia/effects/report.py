"""Put a night's report together: which figure stands where, and in which words.

Reads the tables of `sql/`, the plan's certificate (meta of the decisions commit) and the gates' verdicts;
returns HTML. Nothing here computes a figure: numbers come from SQL, from the plan, or from a verdict.
"""

from __future__ import annotations

from html import escape

from angelia.contracts.outcomes import DECIDED, SENT
from angelia.drawing import charts
from angelia.drawing.page import Html, details, empty, figure, links, page, section, table, tiles
from angelia.drawing.svg import number
from angelia.effects.attribution.section import credited
from angelia.effects.evidence import certificate, made_from, needs, quality
from angelia.effects.findings import Findings
from angelia.effects.hours import hours, send_times
from angelia.effects.lift import campaigns, caused, experiments, lift
from angelia.output import percent

REACH_ROWS = 200  # of the table of reach; all of them stand in the dataset


def render(findings: Findings) -> str:
    """Return the page."""
    night = findings.sources.night
    title = f"Angelia: the night of {night.ds}"
    head = (
        f"<h1>The night of {night.ds}</h1>"
        f'<p class="lead">What was decided for {night.plan_start:%a %d %b %Y %H:%M} to '
        f"{night.plan_end:%a %d %b %H:%M} UTC, and what came of it.</p>"
        + links([(findings.quality_page, "Data quality of the last days")] if findings.quality_page else [])
    )
    sections = [
        _tiles(findings),
        needs(findings),
        _funnel(findings),
        hours(findings),
        send_times(findings),
        lift(findings),
        experiments(findings),
        _audiences(findings),
        _reasons(findings),
        certificate(findings),
        _channels(findings),
        _reach(findings),
        campaigns(findings),
        credited(findings),
        _usage(findings),
        quality(findings),
        made_from(findings),
    ]
    foot = "<p>Counts only: no line of this page is about one person. Times are UTC.</p>"
    return page(title, head, [part for part in sections if part], foot)


def _step(findings: Findings, name: str) -> int:
    return next((row["n"] for row in findings.tables["funnel"].rows if row["name"] == name), 0)


def _tiles(findings: Findings) -> str:
    planned, accepted, opened = (_step(findings, name) for name in ("planned", "accepted", "opened"))
    index, decisions = findings.sources.only("user_index"), findings.sources.only("decisions")
    # A warning is not a failure: the page counts as failed only critical and crashed checks, as its quality
    # section does.
    severities = [check.severity for check in findings.checks if check.failed]
    severities += [
        "critical" if v["crashed"] else v["severity"] for v in findings.verdicts if not v["success"]
    ]
    n_failed = severities.count("critical")
    meta = decisions.meta if decisions else {}
    entries = [
        (
            number(accepted),
            "messages accepted by providers",
            f"{_pct(accepted, _step(findings, 'in manifests'))} of what was to be sent",
        ),
        (
            number(opened),
            "opened within 24 h",
            f"{_pct(opened, accepted)} of accepted" if opened else "none reported so far",
        ),
        caused(findings),
        (
            number(planned),
            "messages planned",
            f"for {number(decisions.rows if decisions else 0)} people considered, of "
            f"{number(index.rows if index else 0)} known",
        ),
        (
            f"{meta['gap_pct']:.2f} %" if "gap_pct" in meta else "–",
            "from the best possible plan",
            "at most: gap to the proven bound",
        ),
        (
            number(n_failed),
            "checks that failed",
            (
                f"of {number(len(findings.checks) + len(findings.verdicts))}, the gates' and this report's; "
                f"{number(len(severities) - n_failed)} more warn"
            ),
        ),
    ]
    return tiles(entries)


def _pct(part: float, whole: float) -> str:
    return percent(100 * part / whole) if whole else "–"


def _funnel(findings: Findings) -> str:
    rows = findings.tables["funnel"].rows
    bars = [
        (
            row["name"],
            float(row["n"]),
            number(row["n"])
            + (f"  ({percent(row['of_previous_pct'])})" if row["of_previous_pct"] is not None else ""),
        )
        for row in rows
    ]
    columns = [
        ("name", "step"),
        ("meaning", "what it counts"),
        ("n", "number"),
        ("of_previous_pct", "% of the step before"),
    ]
    return section(
        "funnel",
        "From everyone considered to those who opened",
        "Each step with its share of the step before. A pair is one person and one campaign.",
        figure(
            charts.bars(bars, "Funnel: " + ", ".join(f"{row['name']} {number(row['n'])}" for row in rows))
        ),
        details("Numbers", table(columns, rows, "The funnel, step by step")),
    )


def _audiences(findings: Findings) -> str:
    rows = findings.tables["audiences"].rows
    lead = "How many people each audience holds on the night, and what it says."
    if not rows:
        return section("audiences", "Audiences", lead, empty("No audience was selected."))
    bars = [
        (
            row["audience"],
            float(row["n_users"]),
            number(row["n_users"])
            + (f"  ({percent(row['of_users_pct'])})" if row["of_users_pct"] is not None else ""),
        )
        for row in rows
    ]
    columns = [
        ("audience", "audience"),
        ("n_users", "people"),
        ("of_users_pct", "% of all"),
        ("description", "description"),
        ("predicate", "predicate"),
    ]
    shown = [
        {**row, "predicate": Html(f"<code>{escape(row['predicate'])}</code>") if row["predicate"] else None}
        for row in rows
    ]
    chart = charts.bars(
        bars, "Audiences by size: " + ", ".join(f"{row['audience']} {number(row['n_users'])}" for row in rows)
    )
    return section(
        "audiences",
        "Audiences",
        lead,
        figure(chart),
        details("Numbers and predicates", table(columns, shown, "Audiences")),
    )


def _reasons(findings: Findings) -> str:
    rows = findings.tables["not_sent_reasons"].rows
    lead = (
        "Every considered pair of person and campaign ends with one outcome. These are the ones that "
        "did not end in a message."
    )
    totals: dict[str, int] = {}
    for row in rows:
        totals[row["outcome"]] = totals.get(row["outcome"], 0) + row["n"]
    every = sum(totals.values())
    missed = sorted(((n, name) for name, n in totals.items() if name != SENT), reverse=True)
    if not missed:
        return section(
            "reasons",
            "Reasons for not sending",
            lead,
            empty("Nothing was considered." if not every else "Everything considered was sent."),
        )
    bars = [
        (f"{name}: {DECIDED.get(name, name)}", float(n), f"{number(n)}  ({_pct(n, every)})")
        for n, name in missed
    ]
    names = [name for _, name in sorted(((n, name) for name, n in totals.items()), reverse=True)]
    campaigns = sorted({row["campaign_id"] for row in rows})
    counts = {(row["campaign_id"], row["outcome"]): row["n"] for row in rows}
    shown = [
        {"campaign": campaign, **{name: counts.get((campaign, name), 0) for name in names}}
        for campaign in campaigns
    ]
    grid = table(
        [("campaign", "campaign"), *((name, name) for name in names)], shown, "Pairs by campaign and outcome"
    )
    chart = charts.bars(bars, "Reasons: " + ", ".join(f"{name} {number(n)}" for n, name in missed), "s1")
    meaning = table(
        [("outcome", "outcome"), ("says", "means")],
        [{"outcome": n, "says": DECIDED.get(n, n)} for n in names],
        "What the outcomes mean",
    )
    return section(
        "reasons",
        "Reasons for not sending",
        lead,
        figure(chart),
        details("By campaign", grid),
        details("What they mean", meaning),
    )


def _channels(findings: Findings) -> str:
    rows = findings.tables["channel_health"].rows
    lead = "What the providers answered."
    if not rows:
        return section("channels", "Channel health", lead, empty("Nothing has been delivered yet."))
    columns = [
        ("channel", "channel"),
        ("outcome", "outcome"),
        ("reason", "reason"),
        ("n", "messages"),
        ("of_channel_pct", "% of channel"),
        ("mean_attempts", "requests a message"),
    ]
    return section("channels", "Channel health", lead, table(columns, rows, "Outcomes by channel"))


def _reach(findings: Findings) -> str:
    rows = findings.tables["reach"].rows
    if not rows:
        return ""  # no source names an address
    totals: dict[str, dict[str, int]] = {}
    for row in rows:
        of_channel = totals.setdefault(row["channel"], dict.fromkeys(("allowed", "denied", "unknown"), 0))
        of_channel[row["permission"]] += row["n_devices"]
    lead = "Devices by what they say of notifications, and what became of the night's messages. " + " ".join(
        f"{channel}: {number(sum(of_channel.values()))} devices, "
        + ", ".join(f"{number(n)} {word}" for word, n in of_channel.items())
        + "."
        for channel, of_channel in totals.items()
    )
    columns = [
        ("channel", "channel"),
        ("device_vendor", "phone"),
        ("app_version", "app version"),
        ("permission", "permission"),
        ("n_people", "people"),
        ("n_devices", "devices"),
        ("n_accepted", "accepted"),
        ("n_delivered", "delivered"),
        ("n_displayed", "displayed"),
        ("n_opened", "opened"),
    ]
    shown = [
        row | {name: row[name] or "unknown" for name in ("device_vendor", "app_version")} for row in rows
    ]
    grid = table(columns, shown[:REACH_ROWS], "Reach by channel, phone, app version and permission")
    left = f" The {number(REACH_ROWS)} largest of {number(len(rows))} rows." if len(rows) > REACH_ROWS else ""
    return section("reach", "Reach", lead + left, details("By phone and app version", grid))


def _usage(findings: Findings) -> str:
    rows = findings.tables["intake_usage"].rows
    if not rows:
        return ""  # nobody uses the intake
    totals = {
        name: sum(row[name] for row in rows)
        for name in ("n_messages", "n_variable_bytes", "n_sent", "n_not_sent", "n_queued", "queued_after_ms")
    }
    by_channel: dict[str, int] = {}
    for row in rows:
        if row["channel"] is not None:
            by_channel[row["channel"]] = by_channel.get(row["channel"], 0) + row["n_queued"]
    most = sorted(((n, name) for name, n in by_channel.items()), reverse=True)
    entries = [
        (number(totals["n_messages"]), "messages by REST", "accepted in the plan's 24 hours"),
        (number(totals["n_sent"]), "sent", f"{_pct(totals['n_sent'], totals['n_messages'])} of them"),
        (
            f"{totals['n_variable_bytes'] / totals['n_messages']:.0f}",
            "bytes of variables a message",
            "as JSON, on average",
        ),
        (
            f"{totals['queued_after_ms'] / totals['n_queued'] / 1000:.1f} s" if totals["n_queued"] else "–",
            "until the worker had it",
            "after the time asked for, on average",
        ),
    ]
    columns = [
        ("client", "client"),
        ("campaign_id", "campaign"),
        ("template_id", "template"),
        ("channel", "channel"),
        ("class", "class"),
        ("priority", "priority"),
        ("n_messages", "messages"),
        ("mean_bytes", "bytes each"),
        ("n_waiting", "waiting"),
        ("n_sent", "sent"),
        ("n_not_sent", "not sent"),
        ("n_withdrawn", "withdrawn"),
        ("n_delivered", "delivered"),
        ("n_opened", "opened"),
    ]
    shown = [{**row, "mean_bytes": round(row["n_variable_bytes"] / row["n_messages"])} for row in rows]
    bars = [(name, float(n), f"{number(n)}  ({_pct(n, totals['n_queued'])})") for n, name in most]
    chart = charts.bars(bars, "Channels: " + ", ".join(f"{name} {number(n)}" for n, name in most))
    return section(
        "usage",
        "Messages by REST",
        "What clients asked the intake for, by client and template. No plan is held to account for these.",
        tiles(entries),
        figure(chart) if bars else "",
        details("By client, campaign and template", table(columns, shown, "Use of the intake")),
    )
