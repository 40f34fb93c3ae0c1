"""The model: text encoder and heads, booster, calibration, SHAP values, registry, training.

Feature tables in, probabilities out; labels come from `labels`, statistics are in `analysis`.
"""
