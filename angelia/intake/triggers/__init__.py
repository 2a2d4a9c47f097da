"""Messages set off by what people do: events that arrived become messages of the intake.

Enter at `run.py` (one run, as the DAG `event_triggers` asks for). `arrivals.py` reads the files of
`user_events` that no run has read yet, `waiting.py` keeps what waits for its moment in the intake database,
`judging.py` says who of them is handed over. Surprise: nothing is sent here; a message that an event set off
is one of the intake's own, so the dispatcher asks consent, holdouts, quiet hours and caps as it leaves.
"""
