"""Teaching: placeholder."""
