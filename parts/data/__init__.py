"""The page Data: ingestion runs, signals, storage.

No other page may import from here; what two pages need goes to `parts.shared`.
"""
