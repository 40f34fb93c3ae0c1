"""What rewrites are worth: replay, the reference assistant, feedback, rephrases, and the server."""
