"""How good a model is: cross-validation, curves, paired comparison, suspected label errors.

Nothing here changes a model or writes predictions.
"""
