"""Ingestion: log files are found and decoded, records validated, turns staged and upserted.

Files of annotations are read in `annotation.files`, not here.
"""
