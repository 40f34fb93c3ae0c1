"""Parts of a cross-fitted model: what is learned from logged values never scores those values.

Each turn belongs to one of `PARTS` by its dialogue. The part of that number learns from the turns
of all the others, and scores this one: in training, in scoring, and if the turn is new. So a column
means the same on every turn, labelled or not, in the training sample or not.
"""

PARTS = 5
