"""Which parts there are to send: seals, manifest parts, follow-up parts, what is due.

Reads `dispatch_manifest` commits of branch main; writes `seals/{ds}/{send_hour}` (conditional create) and
`followups/{ds}/{send_hour}/…`. Grain of a part: about 100,000 rows of one hour, channel and priority; a
follow-up part names rows of such a file and carries no address itself. Surprise: the first worker of an hour
decides for good which manifest commit is sent for that hour; a later commit is ignored for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from angelia.contracts.sending import PLAN_LIFE_DAYS, Micros
from angelia.days import require_day
from angelia.delivery.manifest.objects import create_json, fields_of, from_bytes, read_json
from angelia.delivery.manifest.sealing import agree, seal_key, sealed_number, sealed_numbers
from angelia.delivery.manifest.served import require_manifest
from angelia.errors import Corrupt, InvalidInput, NotFound
from angelia.lake import Commit, FileEntry, Lake
from angelia.lake.attempt import footer

PACED, CANARY, LEFT = "paced", "canary", "left"
FALLOVER, INTAKE = "dispatch_fallover", "dispatch_intake"
WAITING = (PACED, CANARY)  # kinds that wait beside the next hours: for a speed limit, for a canary
PRIORITIES = ("high", "medium", "low")
_HOUR = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}$")
_PART = re.compile(r"part-(\d+)")
LOOK_BACK_DAYS = PLAN_LIFE_DAYS - 1


@dataclass(frozen=True)
class Part:
    """Rows of one manifest file that share a claim and a ledger; `id` is in the ledger's keys."""

    ds: str
    send_hour: str
    channel: str
    priority: str
    number: int
    entry: FileEntry
    manifest: int
    id: str
    rows: tuple[int, ...] | None = None  # None = all rows of the file
    # plan, deferred, released, resent, paced, canary, left (by a channel that is off or spent, and not taken
    # by another), or FALLOVER (a file of that dataset, else like plan).
    kind: str = "plan"
    # Of a waiting part: all its rows are this campaign's, and wait for its speed limit or its canary.
    campaign: str | None = None
    batch: str = ""  # the intake's batch it comes from; empty = a plan's
    # Why it may not be sent, compacted or judged: a follow-up of its file cannot be read.
    damaged: Corrupt | None = field(default=None, compare=False)

    @property
    def n_rows(self) -> int:
        """Rows to account for."""
        return self.entry.rows if self.rows is None else len(self.rows)

    @property
    def leaf(self) -> str:
        """Name of its partition in delivery_ledger; with the hour in front, in push_receipts."""
        name = f"{self.batch}." if self.batch else ""
        name += f"{self.channel}.{self.priority}.{self.number:04d}"
        return f"{name}.{self.entry.identity[:12]}" if self.is_fallover else name

    @property
    def fallover_leaf(self) -> dict[str, str]:
        """Partition of `dispatch_fallover` that takes its rows whose address is no use."""
        name = f"{self.batch}.{self.id[:32]}" if self.batch else self.id[:32]
        return {"ds": self.ds, "send_hour": self.send_hour, "part": name}

    @property
    def is_fallover(self) -> bool:
        """Whether its rows fell over from another channel."""
        return self.entry.path.startswith(f"main/{FALLOVER}/")

    @property
    def order(self) -> tuple[str, int, int, str, str]:
        """Sort key: by hour, high before medium before low."""
        return self.send_hour, PRIORITIES.index(self.priority), self.number, self.kind, self.id


def require_main(lake: Lake) -> None:
    """Refuse any branch but main.

    Raises:
        InvalidInput: the lake is open on a replay branch.
    """
    if lake.branch != "main":
        raise InvalidInput(
            f"branch {lake.branch} is a replay; only main can be sent", fix="unset ANGELIA_BRANCH"
        )


def parse_hour(text: str) -> str:
    """Return a send hour in its one spelling.

    Raises:
        InvalidInput: it is not written as 2026-11-15T04, or its day is out of range.
    """
    try:
        if not _HOUR.fullmatch(text):
            raise ValueError
        day = datetime.strptime(text, "%Y-%m-%dT%H").replace(tzinfo=UTC).date()
    except ValueError:
        raise InvalidInput(
            f"--send-hour {text!r} is not an hour", fix="write it as 2026-11-15T04 (UTC)"
        ) from None
    require_day("--send-hour", text, day)
    return text


def hour_start(send_hour: str) -> Micros:
    """Return the first instant of a send hour."""
    return int(datetime.strptime(send_hour, "%Y-%m-%dT%H").replace(tzinfo=UTC).timestamp()) * 1_000_000


def send_hours(lake: Lake, ds: str) -> list[str]:
    """Return the hours a plan has something to send in.

    Those are the hours of its newest manifest, and the hours already sealed.

    Raises:
        NotFound: the night has no manifest.
    """
    commit = require_manifest(lake, ds)
    return sorted(
        {entry.keys["send_hour"] for entry in commit.files} | set(lake.store.children(f"seals/{ds}"))
    )


def require_hours(known: Sequence[str], ds: str, hours: Iterable[str]) -> None:
    """Refuse hours in which a plan has nothing to send. Raises: InvalidInput."""
    for hour in set(hours) - set(known):
        says = f"the plan of {ds} has nothing to send in {hour}"
        has = f"hours: {known[0]} to {known[-1]}" if known else "the whole plan has no message to send"
        raise InvalidInput(says, fix=has)


def seal(lake: Lake, ds: str, send_hour: str, at: str) -> Commit:
    """Return the one manifest commit that is sent for this hour, sealing the newest if need be.

    Raises:
        Corrupt: the seal is damaged, or the sealed commit's content has changed.
        Conflict: the newest was made in ignorance of an hour that is sealed (`sealing.py`).
        InvalidInput: the lake is on a replay branch.
    """
    require_main(lake)
    key = seal_key(ds, send_hour)
    if not lake.store.exists(key):
        agreed = agree(lake, ds, send_hour)
        body = {"manifest": agreed.number, "sha256": agreed.sha256, "ref": agreed.ref, "sealed_ts": at}
        create_json(lake.store, key, body)
    number, sha256 = sealed_number(lake, ds, send_hour)
    commit = lake.as_of("dispatch_manifest", number, ds=ds)
    if commit.sha256 != sha256 and not commit.erased:
        raise Corrupt(
            f"{commit.ref} is not the commit that was sealed for {send_hour}; nothing was sent",
            fix="run `angelia lake verify`",
        )
    return commit


def sealed_files(lake: Lake, ds: str) -> dict[str, list[FileEntry]]:
    """Return the files of each sealed hour of a plan, from the commit that its seal names.

    A sealed hour is sent whatever is decided now, so `emit_manifests` must leave it alone.

    Raises:
        Corrupt: a seal is damaged.
    """
    sealed = sealed_numbers(lake, ds)
    commits = {hour: lake.as_of("dispatch_manifest", number, ds=ds) for hour, number in sealed.items()}
    return {
        hour: [entry for entry in commit.files if entry.keys["send_hour"] == hour]
        for hour, commit in commits.items()
    }


def standing_manifest(lake: Lake, ds: str, send_hour: str) -> Commit:
    """Return the commit an hour is sealed to, or would be sealed to now; nothing is sealed.

    Raises:
        Corrupt: the seal is damaged.
    """
    if lake.store.exists(seal_key(ds, send_hour)):
        return lake.as_of("dispatch_manifest", sealed_number(lake, ds, send_hour)[0], ds=ds)
    return lake.require("dispatch_manifest", ds=ds)


def parts_of(lake: Lake, commit: Commit, send_hour: str) -> list[Part]:
    """Return an hour's parts of a manifest commit, follow-ups included, in sending order.

    The commit may be a batch of the intake. Those of a file with an unreadable follow-up are `damaged`.

    Raises:
        Corrupt: a follow-up cannot be read, and its name does not say whose it is either.
    """
    ds = commit.partition["ds"]
    by_id = {part.id: part for part in _roots(commit, send_hour)}
    batch = _batch(commit)
    for leaf in lake.partitions(FALLOVER, ds=ds, send_hour=send_hour):
        if leaf["part"].rpartition(".")[0] != batch:
            continue
        for entry in lake.require(FALLOVER, **leaf).files:
            number = int(entry.keys.get("part", "0"))
            part = Part(ds, send_hour, *_keys(entry), number, entry, commit.number, entry.identity)
            by_id[entry.identity] = replace(part, kind=FALLOVER, batch=batch)
    standing = list(by_id.values())
    files = {part.id[:32]: part for part in standing}  # a follow-up's name begins with its parent's
    unread: list[tuple[str, bytes, Corrupt]] = []
    folder = _followups(ds, send_hour, batch)
    for name in lake.store.children(folder):
        key = f"{folder}/{name}"
        body = lake.store.read(key)
        try:
            part = _followed_up(by_id, key, body)
        except Corrupt as error:
            unread.append((name, body, error))
        else:
            standing.append(part)
            files[part.id[:32]] = by_id[part.entry.identity]
    # Only now are all parents known: a follow-up of a follow-up may be listed before it.
    spoilt: dict[str, Corrupt] = {}
    for name, body, problem in unread:
        root = files.get(name.partition(".")[0])
        if root is None:
            raise problem
        spoilt[root.id] = problem
        # It stands as a part without rows, so that its file's family shows the damage.
        standing.append(replace(root, id=hashlib.sha256(body).hexdigest(), rows=(), kind="unread"))
    every = (replace(part, damaged=spoilt.get(part.entry.identity)) for part in standing)
    return sorted(every, key=lambda part: part.order)


def _followed_up(by_id: Mapping[str, Part], key: str, body: bytes) -> Part:
    document = from_bytes(body, key)
    with fields_of(key):
        root, rows = by_id.get(document["root"]), tuple(map(int, document["rows"]))
        kind, campaign = str(document["kind"]), document.get("campaign")
    if root is None:
        raise Corrupt(
            f"{key} names a part that the sealed manifest does not have",
            fix="restore the manifest's commit or the follow-up from a backup",
        )
    return replace(root, id=hashlib.sha256(body).hexdigest(), rows=rows, kind=kind, campaign=campaign)


def _roots(commit: Commit, send_hour: str) -> list[Part]:
    """Return an hour's parts that are files of a manifest commit."""
    roots = []
    entries = [entry for entry in commit.files if entry.keys.get("send_hour") == send_hour and entry.rows]
    for position, entry in enumerate(entries):
        match = _PART.search(entry.path.rsplit("/", 1)[-1])
        number = int(match.group(1)) if match else position
        ds = commit.partition["ds"]
        part = Part(ds, send_hour, *_keys(entry), number, entry, commit.number, entry.identity)
        roots.append(replace(part, batch=_batch(commit)))
    return roots


def _batch(commit: Commit) -> str:
    return commit.partition["part"] if commit.dataset == INTAKE else ""


def _followups(ds: str, send_hour: str, batch: str) -> str:
    return f"followups/{ds}/{send_hour}.{batch}" if batch else f"followups/{ds}/{send_hour}"


def _keys(entry: FileEntry) -> tuple[str, str]:
    channel, priority = entry.keys.get("channel", ""), entry.keys.get("priority", "")
    if not channel or priority not in PRIORITIES:
        raise Corrupt(
            f"{entry.path}: its keys name no channel and priority; nothing was sent",
            fix="emit the manifests again",
        )
    return channel, priority


def follow_up(
    lake: Lake, part: Part, rows: Sequence[int], kind: str, name: str, campaign: str | None = None
) -> None:
    """Write a follow-up part of `rows` (of the root file); the first writer of a name wins."""
    more = {"campaign": campaign} if campaign else {}
    body = {
        **more,
        "kind": kind,
        "root": part.entry.identity,
        "parent": part.id,
        "manifest": part.manifest,
        "rows": sorted(int(row) for row in rows),
    }
    create_json(lake.store, f"{_followups(part.ds, part.send_hour, part.batch)}/{name}", body)


def verify(lake: Lake, parts: Iterable[Part]) -> None:
    """Compare every part's size and sha256 with its commit's, before anything is sent.

    Raises:
        Corrupt: one differs.
    """
    seen = set()
    for part in parts:
        if part.entry.sha256 not in seen:
            seen.add(part.entry.sha256)
            try:
                lake.check_bytes(part.entry)
            except Corrupt as error:
                raise Corrupt(
                    f"{error.message}; nothing was sent",
                    fix="run `angelia lake verify`, then emit the manifests again",
                ) from None


def window(lake: Lake, part: Part) -> tuple[Micros, Micros]:
    """Return the first `not_before` and last `not_after` of a part's file.

    Both come from the statistics in its Parquet footer, which is all that is fetched.

    Raises:
        Corrupt: the file is missing, or its footer is not the one that was committed.
    """
    opens, closes = [], []
    try:
        metadata = footer(lake.store, part.entry)
    except Corrupt as error:
        raise Corrupt(f"{error.message}; nothing was sent", fix="run `angelia lake verify`") from None
    names = [metadata.schema.column(i).name for i in range(metadata.num_columns)]
    first, last = names.index("not_before"), names.index("not_after")
    for group in range(metadata.num_row_groups):
        opens.append(metadata.row_group(group).column(first).statistics.min)
        closes.append(metadata.row_group(group).column(last).statistics.max)
    return _micros(min(opens)), _micros(max(closes))


def due_parts(lake: Lake, now: Micros) -> list[Part]:
    """Return the unfinished parts of every recent plan whose window has opened.

    So is a whole file that closed unsent: delivering it writes `expired` for its rows. A follow-up that
    closed is not. Asking seals and claims nothing. A damaged part is due: whoever delivers it names it.

    Raises:
        InvalidInput: the lake is on a replay branch.
    """
    require_main(lake)
    today = datetime.fromtimestamp(now / 1e6, UTC).date()
    oldest = (today - timedelta(days=LOOK_BACK_DAYS)).isoformat()
    due: list[Part] = []
    for partition in lake.partitions("dispatch_manifest"):
        if not oldest <= partition["ds"] <= today.isoformat():
            continue
        for hour in send_hours(lake, partition["ds"]):
            for part in _unfinished(lake, partition["ds"], hour):
                opens, closes = window(lake, part)
                if opens <= now and (now < closes or part.rows is None):
                    due.append(part)
    return sorted(due, key=lambda part: part.order)


def _unfinished(lake: Lake, ds: str, send_hour: str) -> list[Part]:
    """Return an hour's parts that are not done, or of which damage hides whether they are."""
    try:
        every = parts_of(lake, standing_manifest(lake, ds, send_hour), send_hour)
    except Corrupt:
        return _roots(lake.require("dispatch_manifest", ds=ds), send_hour)
    return [part for part in every if not _is_done(lake, part)]


def _is_done(lake: Lake, part: Part) -> bool:
    try:
        read_json(lake.store, f"done/{part.id}")
    except (NotFound, Corrupt):
        return False
    return True


def _micros(value: datetime) -> Micros:
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return int(value.timestamp() * 1_000_000)
