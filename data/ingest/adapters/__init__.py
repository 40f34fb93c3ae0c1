"""Logs of other voice assistants as traces: one adapter each, in a module of its own.

An adapter cuts a log into records, takes from each record the pieces that a turn is made of, and
makes turns of the pieces of one conversation, whatever their order in the files. The pieces are
sorted on disk in between (`data.ingest.extraction`, `data.ingest.assembly`), so that neither an
unordered log nor a large one needs more memory than its longest conversation.
"""
