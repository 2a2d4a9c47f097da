"""`angelia effects`: what messages were worth over many nights, by any dimension.

Reads the lake; `mart` writes `effects_mart`, `export` a file. Enter at `app.app`.
"""
