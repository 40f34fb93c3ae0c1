"""The Triage page, run without a browser."""
