"""What the Overview says, and the same as a file that can be mailed."""
