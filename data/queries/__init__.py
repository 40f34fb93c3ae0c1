"""Named SQL over a snapshot: one module per question that pages, reports and commands ask.

Reads only. A snapshot and a filter in, Arrow tables out.
"""
