"""What people answered before any record of it was kept.

Enter at `older.older_answers`, which `models.past` calls for a model that is trained before the first commit
of user_looks: it reads a year of user_pushes and returns their counts by person. Writes nothing.
"""
