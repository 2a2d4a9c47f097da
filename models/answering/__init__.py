"""What people answered before the training days, and since.

Enter at `older.older_answers`, which `models.past` calls for a model that is trained before the first commit
of user_looks: it reads a year of user_pushes and returns their counts by person; at
`standing.read_standing`, which `models.train` calls: how materials did in the year before the training days;
and at `lately.read_lately`, which `score_materials` calls: how they did beside what the model expected, on
the nights since. Writes nothing.
"""
