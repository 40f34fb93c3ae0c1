"""The page Model: quality, explanations, comparison, label errors.

No other page may import from here; what two pages need goes to `parts.shared`.
"""
