"""Pieces of the Labels page: goals of a dialogue, thresholds, tasks, disagreements, export.

Queries are in `data.queries.generated_labels` and `data.queries.goals`; what other pages show of
labels is in `parts.shared.labels`.
"""
