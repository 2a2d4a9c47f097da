"""What people chose after a night was planned, for workers that still send it.

Reads `user_preferences` of later days, is given entries of `preference_choices`; writes nothing. Enter at
`new_choices.py`.
"""
