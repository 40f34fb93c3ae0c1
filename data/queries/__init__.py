"""Named SQL queries over a snapshot: one module per question of pages, reports and commands.

They only read: a snapshot and a filter in, Arrow tables out.
"""
