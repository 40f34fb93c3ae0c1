"""Turns to feature columns: one module per stage, dialogue context, text, and the catalogue.

Never looks at `gold`; models that use the columns are in `classifiers`.
"""
