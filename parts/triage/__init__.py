"""The page Triage: slice cards and the chosen slice.

No other page may import from here; what two pages need goes to `parts.shared`.
"""
