"""What `why` answered, as lines for a terminal: aligned, one idea a line."""

from __future__ import annotations

from collections.abc import Iterator

from angelia.asking.records import CampaignWhy, Fate, HourOffer, Later, ScorePart, Why
from angelia.audience.one_person import HELD, Clause
from angelia.contracts.outcomes import CANARY, LEDGER, SENT
from angelia.output import percent

BARS = "▁▂▃▄▅▆▇█"
LABEL = 10
MARK = {"held": "+", "failed": "-", "unknown": "?"}


def lines(answer: Why) -> list[str]:
    """Return an answer for people."""
    page = [f"night {answer.ds}, planned for the 24 hours from {answer.start[:16]} UTC"]
    person = answer.person
    if person is not None:
        reach = ", ".join(person.channels) or "no channel"
        refused = f", refused {', '.join(person.opted_out_topics)}" if person.opted_out_topics else ""
        out = ", suppressed" if person.is_suppressed else ""
        page.append(
            _row("person", f"{person.timezone}, {person.locale or 'no language'}; {reach}{refused}{out}")
        )
    # There are no hours where the night's features have no row of the person, or could not be read.
    if answer.hours:
        curve = [hour.curve for hour in answer.hours]
        best = sorted(answer.hours, key=lambda hour: -hour.curve)[:3]
        page.append(
            _row("hours", f"{bars(curve)}  from {answer.hours[0].local} on, best "
                 + ", ".join(f"{hour.local} ({hour.curve:.2f})" for hour in best))
        )  # fmt: skip
        if person is not None:
            page.append(
                _row("", f"1 = their mean hour; evidence {person.evidence:g}, cohort {person.cohort}")
            )
    for campaign in answer.campaigns:
        page += ["", *_campaign(campaign)]
    versions = answer.versions
    page += [
        "",
        _row("plan", f"{versions.plan} by {versions.code}; model {versions.model}"),
        _row("made from", f"{versions.curves}, {versions.scores}, {versions.features}"),
        _row("", f"{versions.audiences}, {versions.catalog}, {versions.user_index}"
             + (f", {versions.bitmap_index}" if versions.bitmap_index else "")),
    ]  # fmt: skip
    return page + [_row("note", note) for note in answer.notes]


def bars(values: list[float]) -> str:
    """Return numbers as a row of bars, the largest full."""
    top = max(values, default=0.0) or 1.0
    return "".join(BARS[min(len(BARS) - 1, int(len(BARS) * max(value, 0.0) / top))] for value in values)


def _row(label: str, text: str) -> str:
    return f"  {label:<{LABEL}} {text}".rstrip()


def _campaign(answer: CampaignWhy) -> Iterator[str]:
    if answer.outcome == SENT:
        clock = f" ({answer.local} on their clock)" if answer.local else ""
        yield f"{answer.campaign}: sent by {answer.channel} at {answer.slot}:00 UTC{clock}"
        # A slot that was drawn was not the best one: its probability is the reason.
        how = (
            f"slot drawn for exploration with probability {answer.slot_propensity or 0.0:.4f}"
            if answer.is_explore and answer.slot_propensity
            else "slot chosen"
        )
        yield _row("worth", f"{_money(answer.worth_micros)} after its cost, against a price of "
                   f"{_money(answer.price_micros)}; {how}")  # fmt: skip
    else:
        yield f"{answer.campaign}: {answer.outcome}: {answer.says}"
    if answer.by_channel is not None:
        yield _row("channel", answer.by_channel)
    if answer.later is not None:
        yield _row("later", _later(answer.later))
    if answer.fate is not None:
        yield _row("then", _fate(answer.fate))
    yield from _audience(answer)
    if answer.materials:
        yield from _materials(answer)
    if answer.arm is not None:
        yield _row("arm", answer.arm)
    if answer.closed:
        yield _row(
            "closed", ", ".join(f"{n} {'hour' if n == 1 else 'hours'} {why}" for why, n in answer.closed)
        )
    for i, offer in enumerate(answer.offers):
        yield _row("" if i else "hours", _offer(offer))
    for i, limit in enumerate(answer.binding):
        yield _row("" if i else "limits", f"{limit.limit}: {limit.used:,} of {limit.capacity:,} used, price "
                   f"{_money(limit.price_micros)}")  # fmt: skip


def _audience(answer: CampaignWhy) -> Iterator[str]:
    says = {True: "in it", False: "not in it", None: "unknown"}[answer.is_member]
    yield _row("audience", f"{answer.audience}: {says}")
    # An AND says no more than its parts do.
    shown = [clause for clause in answer.clauses if clause.decides and clause.text != "AND"]
    texts = {
        clause: f"{'  ' * max(clause.depth - 1, 0)}{MARK[clause.truth]} {_words(clause)}" for clause in shown
    }
    width = min(max(map(len, texts.values()), default=0), 72)
    for clause in shown:
        has = f"has {clause.has}" if clause.has is not None else ""
        word = clause.truth if clause.truth != HELD else ""
        note = "; ".join(part for part in (has, word) if part)
        yield _row("", f"{texts[clause]:<{width}}  {note}")


def _words(clause: Clause) -> str:
    return "one of these" if clause.text == "OR" else clause.text


def _materials(answer: CampaignWhy) -> Iterator[str]:
    score = answer.score
    drawn = score.material if score else None
    width = max(len(material.material) for material in answer.materials)
    for i, material in enumerate(answer.materials):
        label = "" if i else "materials"
        if material.p_open is None:
            yield _row(label, f"  {material.material:<{width}}  {material.why_not}")
            continue
        mark = ">" if material.material == drawn else " "
        best = material.at_best or 0.0
        says = f"p(open) {material.p_open:.4f}, at their best hour {best:.4f}, drawn with probability"
        yield _row(label, f"{mark} {material.material:<{width}}  {says} {material.propensity:.4f}")
    if score is None or not score.parts:
        return
    yield _row("score", f"log-odds of {score.material}"
               + (f" (and over {score.runner_up})" if score.runner_up else ""))  # fmt: skip
    width = max(len(part.feature) for part in score.parts)
    value = min(32, max(len(part.value) for part in score.parts))
    for part in score.parts:
        yield _row("", _part(part, width, value))


def _part(part: ScorePart, width: int, value: int) -> str:
    over = f"  ({part.over_runner_up:+.3f})" if part.over_runner_up else ""
    return f"{part.feature:<{width}}  {part.value[:value]:<{value}}  {part.adds:+.3f}{over}"


def _offer(offer: HourOffer) -> str:
    mark = ">" if offer.is_chosen else " "
    return (
        f"{mark} {offer.slot[5:]} UTC {offer.local} {offer.channel:<7} p(open) {offer.p_open:.4f}  worth "
        f"{_money(offer.worth_micros)}  price {_money(offer.price_micros)}  {offer.used:,} of "
        f"{offer.capacity:,}"
    )


def _fate(fate: Fate) -> str:
    words = {
        "held_back": "not sent",
        "not_emitted": "not emitted",
        "not_sent_yet": "in the manifests, not sent yet",
    }
    says = words.get(fate.state) or f"{fate.state}: {LEDGER.get(fate.state, '')}"
    if fate.reason:
        says += f" ({fate.reason}: {CANARY[fate.reason]})" if fate.reason in CANARY else f" ({fate.reason})"
    if fate.sent_ts is not None:
        says += f", by {fate.channel} at {fate.sent_ts:%Y-%m-%d %H:%M:%S} UTC"
        says += f" on {fate.devices[0]} of {fate.devices[1]} devices" if fate.devices else ""
        says += f"; opened at {fate.opened_ts:%Y-%m-%d %H:%M} UTC" if fate.opened_ts else "; no open is known"
    return says


def _later(later: Later) -> str:
    price = f"; the policy's price on that is {_money(later.refusal_micros)}" if later.refusal_micros else ""
    # With a limit on refusals, a message below it is paid for keeping the others within.
    if later.refusal_micros < 0:
        price = f"; as that is less than the policy's limit, {_money(-later.refusal_micros)} is added"
    return (
        f"{_money(later.flat_micros)} and {percent(100 * later.share)} of its worth are taken off for what "
        f"it costs later: {later.felt:.1f} messages still felt, {later.rate:.2f} a day; those of the next "
        f"week lose the opens of {later.lost:.3f} messages, and it is refused with probability "
        f"{later.chance:.5f}{price}"
    )


def _money(micros: int | None) -> str:
    return f"{(micros or 0) / 1e6:.4f}"
