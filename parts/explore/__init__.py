"""The page Explore: pivots, the table of turns, SQL, downloads, saved views.

No other page may import from here; what two pages need goes to `parts.shared`.
"""
