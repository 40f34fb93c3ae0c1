"""The simulated recogniser against real speech: the recogniser, error statistics, a comparison.

Needs espeak-ng and pocketsphinx.
"""
