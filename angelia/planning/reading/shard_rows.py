"""How a shard's rows are read, and its people's messages, sent or to be sent.

Grain: shard, or some blocks of its people; then message. Reads the commits of user_pushes, last night's
decisions and intake_pending; writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.arrow import where
from angelia.contracts.ids import OWED
from angelia.contracts.outcomes import SENT
from angelia.lake import Commit, Lake
from angelia.lake.cache import with_copies
from angelia.lake.commit import in_shard
from angelia.planning.before import Past, add_pending


@dataclass(frozen=True)
class Blocks:
    """Some blocks of ordinals, each of 2 ** bits people.

    So a sample is loaded without the rest of its shards.
    """

    numbers: tuple[int, ...]
    bits: int


@dataclass(frozen=True)
class ShardRows:
    """How one shard's rows are read, or those of the people of some blocks of it."""

    lake: Lake
    shard: int
    bits: int
    blocks: Blocks | None = None

    def of(self, commit: Commit, columns: list[str] | None = None) -> pa.Table:
        """Return these people's rows of a commit."""
        table = self.lake.read(commit, columns, in_shard(self.shard))
        ordinal = table["ordinal"].cast(pa.int64())
        keep = pc.equal(pc.shift_right(ordinal, self.bits), self.shard)
        if self.blocks is not None:
            block = pc.shift_right(ordinal, self.blocks.bits)
            keep = pc.and_(keep, pc.is_in(block, value_set=pa.array(self.blocks.numbers, pa.int64())))
        return where(table, keep)


@dataclass(frozen=True)
class PastSources:
    """What past messages are read from.

    Attributes:
        pushes: days of user_pushes; of those before `for_all` only messages of the campaigns `running`.
        previous: last night's plan, which is still to be sent but for the campaigns `held`.
        intake: marketing that came by itself.
    """

    pushes: tuple[Commit, ...]
    for_all: str
    running: Sequence[str]
    previous: Commit | None
    held: tuple[str, ...]
    intake: Commit | None


def past_messages(
    read: ShardRows,
    sources: PastSources,
    ordinals: npt.NDArray[np.uint32],
    user_ids: Sequence[str],
    start: np.datetime64,
    *,
    by_channel: bool,
) -> Past:
    """Return messages sent, and what last plan or intake will send as if sent, each once.

    Args:
        read: how these people's rows are read.
        sources: what is read.
        ordinals: the people's, ascending, (n,).
        user_ids: theirs, too, (n,).
        start: when the plan begins; hours count from it.
        by_channel: keep each message's channel.
    """
    user: list[np.ndarray] = [np.zeros(0, np.int64)]
    hours: list[np.ndarray] = [np.zeros(0)]
    campaign, keys, channel = list[pa.Array](), list[pa.Array](), list[pa.Array]()
    running = pa.array(sources.running, pa.string())
    # The jobs before have most of the window's files on this machine already.
    its = in_shard(read.shard)
    copied = with_copies(read.lake, [e for commit in sources.pushes for e in filter(its, commit.files)])
    lately = replace(read, lake=copied)
    for commit in sources.pushes:
        columns = ["ordinal", "campaign_id", "message_id", "kind", "at_ts", "channel"]
        table = lately.of(commit, columns)
        # What clients owe by a template without a campaign uses no room, as no transactional message does.
        is_owed = pc.starts_with(table["campaign_id"], OWED)
        table = table.filter(pc.and_(pc.equal(table["kind"], "sent"), pc.invert(is_owed)))
        if commit.partition["ds"] < sources.for_all:
            table = table.filter(pc.is_in(table["campaign_id"], running))
        user.append(np.searchsorted(ordinals, table["ordinal"].to_numpy()))
        hours.append((table["at_ts"].to_numpy().astype("datetime64[us]") - start) / np.timedelta64(1, "h"))
        campaign += table["campaign_id"].chunks
        keys += table["message_id"].chunks
        channel += table["channel"].chunks
    if sources.previous is not None:
        table = read.of(sources.previous, ["ordinal", "choices"])
        owner = np.searchsorted(ordinals, table["ordinal"].to_numpy())
        lists = table["choices"].combine_chunks()
        flat = lists.flatten()
        is_held = pc.is_in(pc.struct_field(flat, "campaign_id"), pa.array(sources.held, pa.string()))
        is_sent = pc.and_not(pc.equal(pc.struct_field(flat, "outcome"), SENT), is_held)
        rows = owner[lists.value_parent_indices().to_numpy()]
        flat, sent = flat.filter(is_sent), is_sent.to_numpy(zero_copy_only=False)
        user.append(rows[sent])
        slots = pc.struct_field(flat, "slot").to_numpy(zero_copy_only=False).astype("datetime64[us]")
        hours.append((slots - start) / np.timedelta64(1, "h"))
        campaign.append(pc.struct_field(flat, "campaign_id"))
        keys.append(pc.struct_field(flat, "message_id"))
        channel.append(pc.struct_field(flat, "channel"))
    if sources.intake is not None:
        add_pending(read.lake.read(sources.intake), user_ids, start, user, hours, campaign, keys)
    users = np.concatenate(user).astype(np.int64)
    when = np.concatenate(hours).astype(np.float64)
    channel.append(pa.nulls(len(users) - sum(map(len, channel)), pa.string()))  # the intake's: unknown yet
    campaigns, ids, channels = (
        pa.chunked_array(parts, pa.string()).combine_chunks() for parts in (campaign, keys, channel)
    )
    # The receipt of a message knows better than its plan when it was sent: the first mention (user_pushes)
    # stays. Arrow numbers texts by their first mention, so a new number is a first mention.
    number = ids.dictionary_encode().indices.to_numpy()
    first = np.flatnonzero(np.diff(np.maximum.accumulate(number), prepend=-1))
    campaigns, ids, channels = (texts.take(pa.array(first)) for texts in (campaigns, ids, channels))
    return Past(users[first], campaigns, when[first], ids, channels if by_channel else None)
