"""What clients may ask and say about people: their preferences.

Enter at `preferences_api.py`. Reads and writes the lake by `users.choices`, as the preferences page does.
"""
