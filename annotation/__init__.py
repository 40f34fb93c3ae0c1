"""Verdicts of people: which turns to ask for, files in and out, agreement of annotators.

Writing a verdict into the store is `data.store.annotations`; widgets are in `parts.annotate`.
"""
