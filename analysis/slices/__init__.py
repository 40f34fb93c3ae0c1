"""Slice discovery: every combination of dimensions searched, tested, ranked and deduplicated.

Works on counts that `data.queries` has read; what a page shows of a slice is in `parts.triage`.
"""
