"""The outside's CSV and Parquet into the source contracts, by a YAML mapping.

Reads files and a mapping; writes partitions of the source datasets through the lake. `mapping` is the
document, `loading` reads it, `inputs` opens files, `expressions` turns a column's description into SQL
(`moments` its times, `layers` holds the steps), `staging` runs it and sorts rows into kept, filtered and
rejected, `writing` publishes, `rejects` keeps samples for the operator, `commands` is `angelia import`.
"""
