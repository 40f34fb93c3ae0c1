"""Labels: failure points by rule from gold, and what is learned from users' own behaviour."""
