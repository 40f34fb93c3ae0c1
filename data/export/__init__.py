"""Exports with a manifest, and the sandbox for users' own SQL.

Everything here reads one snapshot and never changes a store.
"""
