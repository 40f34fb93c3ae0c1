"""The command line: one module per noun, and what they share.

Options and words only; the work lies in lower rooms.
"""
