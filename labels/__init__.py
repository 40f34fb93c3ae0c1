"""Failure points from evidence: the rules over `gold`, and the comparison of frames and wordings.

SQL and tables only; people's verdicts are in `annotation`.
"""
