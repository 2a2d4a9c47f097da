"""The outside's CSV and Parquet into the source contracts, by a YAML mapping.

Reads files and a mapping; writes partitions of the source datasets through the lake. `mapping` is the
document, `loading` reads it, `inputs` opens files (`csv_files` those), `expressions` turns a column's
description into SQL (`moments` its times, `layers` holds the steps), `staging` runs it and sorts rows into
kept, filtered and rejected (`attributes`, `addresses` and `checking` judge values, `staged` is what comes of
it), `writing` publishes, `rejects` keeps samples for the operator. `angelia.commands.import_` is the command.
"""
