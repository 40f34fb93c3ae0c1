"""The simulated recogniser against real speech: recordings, error statistics, a comparison.

Needs espeak-ng and pocketsphinx.
"""
