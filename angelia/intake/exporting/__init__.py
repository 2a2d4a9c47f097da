"""The intake's messages in the lake: for reports, usage, and the caps of the next night.

Enter at `export.py`. Reads the intake database; writes intake_messages, intake_steps (by hour of acceptance)
and intake_pending. Writers mark the hours that have to be exported again with `changes.py`.
"""
