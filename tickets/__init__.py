"""Tickets: a slice becomes an issue of GitHub or Jira, and the issue's state comes back."""
