"""Failure points from evidence: rules over `gold`, and the comparison of frames and wordings.

SQL and tables only; verdicts of annotators are in `annotation`.
"""
