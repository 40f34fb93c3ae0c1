"""Slice discovery: every combination of dimensions searched, tested, ranked and deduplicated.

Works on tables read by `data.queries`; the widgets that show a slice are in `parts.triage`.
"""
