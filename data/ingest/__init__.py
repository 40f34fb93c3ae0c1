"""Logs on their way in: files found and decoded, records validated, turns staged and upserted.

What a file holds besides traces (annotations) is not read here.
"""
