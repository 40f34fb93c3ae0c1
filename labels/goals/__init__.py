"""Goals: spans of a dialogue that serve one want, and measures of how well they are found."""
