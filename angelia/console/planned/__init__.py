"""What the pages about plans show: nights compared, what-ifs, replays, effects over nights.

Reads the meta of plans' commits, the night's catalog, and answers that DAG runs kept; writes nothing. Enter
with `nights.plan_of`, `questions.form_of` or `replays.replays`.
"""
