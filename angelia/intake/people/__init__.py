"""What clients may ask and say about people: preferences, addresses, ids in other systems.

Enter at `preferences_api.py`, `addresses_api.py` and `external_ids_api.py`. Reads and writes the lake by
`users.choices`, as the preferences page does, and the intake database, which `intake export` copies.
"""
