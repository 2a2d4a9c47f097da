"""Warnings for well-formed documents that can have no effect, or not the intended one.

Each warning names a fix. Reads documents only.

Surprise: whether a campaign is over depends on the day of the look, so callers pass the day. A document that
is over and does not change is not named again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from angelia.catalog.checking import contradictions, devices, wording
from angelia.catalog.document_parts import WEEKDAYS, Cap, Scalar
from angelia.catalog.documents import (
    AnyDocument,
    Audience,
    Campaign,
    Channel,
    Experiment,
    Material,
    Policy,
    Template,
)
from angelia.catalog.problems import DocumentProblem, Doubt, Key, Notice, nearest
from angelia.config import load_settings
from angelia.errors import InvalidInput

FAR_DAYS = 366  # a later start is more often a mistyped year than a plan
Documents = Mapping[Key, AnyDocument]
Path = tuple[str | int, ...]


def notices(documents: Documents, today: date) -> Iterator[Notice]:
    """Yield what these documents may not mean, as of a day."""
    for key, document in sorted(documents.items()):
        doubts: Iterator[Doubt] = iter(())
        if isinstance(document, Campaign):
            doubts = _campaign(document, documents, today)
        elif isinstance(document, Channel):
            doubts = _channel(document, documents)
        elif isinstance(document, Policy):
            doubts = _policy(document, documents)
        elif isinstance(document, Material):
            doubts = _material(document, today)
        elif isinstance(document, Template):
            doubts = wording.of_template(document)
        elif isinstance(document, Experiment):
            doubts = _experiment(document)
        elif isinstance(document, Audience):
            doubts = _audience(document, documents, today)
        for doubt in doubts:
            yield Notice(
                key,
                DocumentProblem(doubt.path, doubt.says),
                about=doubt.about,
                only_news=doubt.only_news,
                empties=doubt.empties,
            )


def shown_numbers(documents: Documents) -> Iterator[Notice]:
    """Yield the numbers shown with fewer decimals than prices have, as `9.90` becomes `9.9`.

    The catalog does not keep what was written beside the number, so this serves a preview, not an apply.
    """
    for key, document in sorted(documents.items()):
        values: dict[Path, Scalar | None] = {}
        if isinstance(document, Material):
            values = {("fields", name): value for name, value in document.fields.items()}
        elif isinstance(document, Template):
            values = {("variables", name, "default"): its.default for name, its in document.variables.items()}
        for path, value in values.items():
            if isinstance(value, float) and len(str(value).partition(".")[2]) < 2:
                says = f'is a number, shown as {value}; for another form quote it: "{value:.2f}"'
                yield Notice(key, DocumentProblem(path, says))


def written_number(path: Path, text: str, value: object) -> DocumentProblem | None:
    """Return the warning for a number that is shown differently from its text, or None."""
    is_shown = path[:1] == ("fields",) or (path[:1] == ("variables",) and path[-1:] == ("default",))
    if not is_shown or isinstance(value, bool) or not isinstance(value, int | float) or str(value) == text:
        return None
    return DocumentProblem(path, f'{text} is a number, shown as {value}; to keep its form quote it: "{text}"')


def _campaign(campaign: Campaign, documents: Documents, today: date) -> Iterator[Doubt]:
    if campaign.end_date < today:
        says = f"{campaign.end_date} is before today: nothing will be sent; give a later day, or remove it"
        yield Doubt(("end_date",), says, only_news=True)
        return
    if (campaign.start_date - today).days > FAR_DAYS:
        says = f"{campaign.start_date} is more than a year away; is the year right?"
        yield Doubt(("start_date",), says)
    if campaign.trigger is not None:
        yield from _triggered(campaign)
    elif campaign.value_micros == 0 and campaign.uplift is None:
        says = "an open worth 0 never covers its cost: nothing will be sent; give more"
        yield Doubt(("value_per_open",), says, empties=True)
    if campaign.holdout_pct == 100:
        says = "100 % are held out: nobody will get it; give less"
        yield Doubt(("holdout_pct",), says, empties=True)
    yield from _guarantee(campaign, documents)
    yield from _caps(campaign.caps)
    yield from _weekdays(campaign)
    yield from _window(campaign, documents)
    yield from _materials(campaign, documents, max(today, campaign.start_date))
    channels = [documents.get(("channel", name)) for name in campaign.channels]
    if not any(isinstance(channel, Channel) and channel.enabled for channel in channels):
        about = tuple(("channel", name) for name in campaign.channels)
        says = "none of them is switched on: nothing will be sent; set enabled: true on one"
        yield Doubt(("channels",), says, about, empties=True)
    if campaign.trigger is None:  # these are about what a plan weighs
        yield from contradictions.of_campaign(campaign, documents)
    yield from devices.of_campaign(campaign, documents)


def _guarantee(campaign: Campaign, documents: Documents) -> Iterator[Doubt]:
    """Yield that what people may refuse elsewhere is sent here without asking."""
    others = [
        other.id
        for other in documents.values()
        if isinstance(other, Campaign) and other.topic == campaign.topic and not other.is_transactional
    ]
    if campaign.is_transactional and others:
        says = (
            f"at_least_once asks for no consent, cap or quiet hours, and {campaign.topic} is the topic of "
            f"marketing, too ({', '.join(others[:3])}); say at_most_once, or give it a topic of its own"
        )
        yield Doubt(("guarantee",), says, tuple(("campaign", name) for name in others))


def _triggered(campaign: Campaign) -> Iterator[Doubt]:
    assert campaign.trigger is not None
    if campaign.budget is not None:
        says = "is a limit of plans, and this campaign is in none: nothing keeps to it; use caps or at_most"
        yield Doubt(("budget",), says)
    if campaign.uplift is not None:
        says = "is a worth that plans weigh, and this campaign is in none: it changes nothing; leave it out"
        yield Doubt(("uplift",), says)
    if campaign.trigger.at_most is not None:
        for doubt in _caps((campaign.trigger.at_most,)):
            yield Doubt(("trigger", "at_most", "messages"), doubt.says, empties=True)


def _weekdays(campaign: Campaign) -> Iterator[Doubt]:
    length = (campaign.end_date - campaign.start_date).days + 1
    days = (campaign.start_date + timedelta(days=shift) for shift in range(min(length, 7)))
    served = {WEEKDAYS[day.weekday()] for day in days}
    never = [name for name in campaign.occurrence.weekdays or () if name not in served]
    if never:
        what = (
            "nothing will be sent" if set(never) == set(campaign.occurrence.weekdays or ()) else "it is idle"
        )
        says = (
            f"no {', '.join(never)} comes from {campaign.start_date} to {campaign.end_date}: {what}; "
            "change the weekdays or the dates"
        )
        yield Doubt(("occurrence", "weekdays"), says, empties=what != "it is idle")


def _window(campaign: Campaign, documents: Documents) -> Iterator[Doubt]:
    policy = documents.get(("policy", "default"))
    quiet = policy.quiet_hours if isinstance(policy, Policy) else None
    window = campaign.send_window
    if quiet is None or window is None or campaign.is_transactional:
        return
    n_quiet = (quiet.end - quiet.start) % 24
    is_open = any((hour - quiet.start) % 24 >= n_quiet for hour in range(window.start, window.end))
    if not is_open:
        says = (
            f"{window.start} to {window.end} lies within the policy's quiet hours ({quiet.start} to "
            f"{quiet.end}): nothing will be sent; move the window, or the quiet hours"
        )
        yield Doubt(("send_window",), says, (("policy", "default"),), empties=True)


def _materials(campaign: Campaign, documents: Documents, begin: date) -> Iterator[Doubt]:
    """Yield materials never valid while the campaign runs, and the first day without any."""
    end = campaign.end_date
    spans: list[tuple[date, date]] = []
    for i, name in enumerate(campaign.materials):
        material = documents.get(("material", name))
        if not isinstance(material, Material):
            continue
        first, last = material.valid_from or begin, material.valid_until or end
        if last < begin or first > end:
            says = f"{name} is valid {_span(material)}, and the campaign runs from {begin} to {end}: "
            says += "nobody will get it; change its days, or leave it out"
            yield Doubt(("materials", i), says, (("material", name),))
        else:
            spans.append((first, last))
    day = begin
    for first, last in sorted(spans):
        if first > day:
            break
        day = max(day, last + timedelta(days=1))
    if spans and day <= end:
        says = f"none is valid on {day}: nothing will be sent that day; extend one, or shorten the campaign"
        yield Doubt(("materials",), says, tuple(("material", name) for name in campaign.materials))


def _span(material: Material) -> str:
    since = f"from {material.valid_from} " if material.valid_from else ""
    return f"{since}until {material.valid_until}" if material.valid_until else since.rstrip()


def _caps(caps: tuple[Cap, ...]) -> Iterator[Doubt]:
    for i, cap in enumerate(caps):
        if cap.messages == 0:
            yield Doubt(
                ("caps", i, "messages"), "0 messages: nothing will be sent; give at least 1", empties=True
            )


def _policy(policy: Policy, documents: Documents) -> Iterator[Doubt]:
    yield from _caps(policy.caps)
    if policy.holdout.share_pct == 100:
        says = "100 % are held out: nobody will get any marketing; give less"
        yield Doubt(("holdout", "share_pct"), says, empties=True)
    yield from contradictions.of_policy(policy)
    topics = {document.topic for document in documents.values() if isinstance(document, Campaign)}
    for topic in sorted(set(policy.topics or ()) - topics):
        yield Doubt(("topics", topic), f"no campaign has this topic{nearest(topic, sorted(topics))}")


def _channel(channel: Channel, documents: Documents) -> Iterator[Doubt]:
    for name in ("capacity_per_hour", "quota_per_minute"):
        if channel.enabled and getattr(channel, name) == 0:
            yield Doubt(
                (name,), "0: nothing will be sent; give a number, or set enabled: false", empties=True
            )
    yield from contradictions.of_channel(channel, documents)
    yield from devices.of_channel(channel)


def _experiment(experiment: Experiment) -> Iterator[Doubt]:
    for i, arm in enumerate(experiment.arms):
        if arm.share_pct == 0:
            says = f"nobody is in arm {arm.name}; give it a share, or leave it out"
            yield Doubt(("arms", i, "share_pct"), says)


def _material(material: Material, today: date) -> Iterator[Doubt]:
    if material.valid_until and material.valid_until < today:
        says = f"{material.valid_until} is before today: nobody gets it any more; correct it, or remove it"
        yield Doubt(("valid_until",), says, only_news=True)
    yield from wording.of_material(material)


def _audience(audience: Audience, documents: Documents, today: date) -> Iterator[Doubt]:
    # sqlglot takes a while to load, so it is loaded only where there are predicates.
    from angelia.audience.language.never import never_true
    from angelia.audience.language.predicate import parse

    # The audiences it names are looked at on their own: each conflict is reported once.
    others = {name: "TRUE" for kind, name in documents if kind == "audience"}
    history_days = load_settings().history_days
    try:
        tree = parse(audience.predicate, others, history_days=history_days)
    except InvalidInput:
        return  # an apply refuses it with a message of its own
    for conflict in never_true(tree, history_days, today):
        yield Doubt(("predicate",), f"{conflict}; correct the condition, or remove it")
