"""How people tire: what messages of the last days do to opens, and to refusals.

Enter at `learn.learn`, which `models.train` calls; reads the training examples, a year of user_pushes and of
push_receipts, and returns what `angelia.planning.later` prices, with intervals for the card.
"""
