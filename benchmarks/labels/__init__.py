"""What generated labels are worth, on real corpora."""
