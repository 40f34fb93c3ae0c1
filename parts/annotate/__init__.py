"""The page Annotate: the queue, files, agreement, training.

No other page may import from here; what two pages need goes to `parts.shared`.
"""
