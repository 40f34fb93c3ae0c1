"""The store: a folder of Delta tables pinned by HEAD, transactions, snapshots, maintenance.

Every write goes through here; questions about the contents are in `data.queries`.
"""
