"""What people answered before the training days.

Enter at `older.older_answers`, which `models.past` calls for a model that is trained before the first commit
of user_looks: it reads a year of user_pushes and returns their counts by person; and at
`standing.read_standing`, which `models.train` calls: how materials did in the year before the training days.
Writes nothing.
"""
