"""Measurements of speed and quality, side by side with the alternative in one run.

Not installed; nothing imports it but its own tests.
"""
