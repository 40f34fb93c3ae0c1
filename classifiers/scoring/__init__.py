"""Scoring: which turns to score, the work on a part of them, and the commit of the result.

Training and evaluation are elsewhere in `classifiers`.
"""
