"""Pieces of the Teaching page: moments to teach, what was taught, one of it.

Queries are in `data.queries.preferences`; moments are found by `labels.teaching.moments`.
"""
