"""Data on its way out: exports with a manifest, and the sandbox for a reader's own SQL.

Reads one snapshot; nothing here changes a store.
"""
