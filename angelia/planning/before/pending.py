"""The intake's messages that leave less room: sent since the closed day, or due tonight.

Grain: message. Reads rows of intake_pending; writes nothing. Surprise: a message that is due in the middle of
the plan uses room in all hours before it, too, since whoever comes second is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def add_pending(
    table: pa.Table,
    user_ids: Sequence[str],
    start: np.datetime64,
    user: list[np.ndarray],
    hours: list[np.ndarray],
    campaign: list[pa.Array],
    keys: list[pa.Array],
) -> None:
    """Append the messages to these people.

    Rows (n,), hours since the plan's start (n,), campaign, key; people by row.
    """
    row = pc.index_in(table["user_id"], pa.array(user_ids, pa.string()))
    # People of other shards, and people who are new since the night, have no row here.
    mine = table.append_column("row", row).filter(pc.is_valid(row))
    user.append(mine["row"].to_numpy().astype(np.int64))
    hours.append((mine["at_ts"].to_numpy().astype("datetime64[us]") - start) / np.timedelta64(1, "h"))
    campaign += mine["campaign_id"].chunks
    keys += mine["message_id"].chunks
