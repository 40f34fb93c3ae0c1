"""Measurements of speed and quality, side by side with the alternative in one run.

Not installed with the package. Only tests import it; the product never does.
"""
