"""Turns to feature columns: one module per stage, dialogue context, text, and the catalogue.

Never reads `gold`; the models that use the columns are in `classifiers`.
"""
