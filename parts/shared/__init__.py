"""What several pages use: the view, the filter bar, cached figures, conversation, turn links.

What one page alone uses belongs in its own folder.
"""
