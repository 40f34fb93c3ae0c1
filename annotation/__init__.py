"""Annotations: which turns to annotate next, import from files, agreement of annotators.

Writing a verdict into the store is `data.store.annotations`; widgets are in `parts.annotate`.
"""
