"""How a shard's rows come from the lake, and its people's past messages.

Public face: `ShardRows` (one shard's rows, or those of `Blocks` of its people), `past_messages` (what they
    were sent or are to be sent) of `PastSources`. Reads the lake; writes nothing.
"""

from angelia.planning.reading.shard_rows import Blocks, PastSources, ShardRows, past_messages

__all__ = ["Blocks", "PastSources", "ShardRows", "past_messages"]
