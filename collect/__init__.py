"""Live collection: what assistants send, or answer when asked, into a store while they run.

Here: the OTLP receiver with its spool, and the client of Home Assistant. Not here: what a log
means, which the adapters of `data.ingest.adapters` know.
"""
