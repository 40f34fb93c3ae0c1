"""The page Turn: one turn's stages, verdict and neighbours.

No other page may import from here; what two pages need goes to `parts.shared`.
"""
