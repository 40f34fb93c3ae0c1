"""The page Overview: budgets, changes, the report button.

No other page may import from here; what two pages need goes to `parts.shared`.
"""
