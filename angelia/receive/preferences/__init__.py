"""Preferences page by signed link: topics, channels, and double opt-in for e-mail.

Enter at `routes.py`. Reads the newest catalog; writes `preference_choices` and `suppressions` by
`users.choices`.
"""
