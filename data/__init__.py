"""The store and its ways in and out: schema, Delta tables, queries, ingestion, export.

The lowest floor: nothing here imports another room.
"""
