"""Normalisation of what was said and heard, by locale: characters, spelling, numbers, clock, noise.

`labels.rules.normalise` puts the steps together; docs/failure-points.md says what each locale gets.
"""
