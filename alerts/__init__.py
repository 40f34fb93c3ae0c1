"""Alerts: rules of views, whether they fire, and who is told by webhook, mail or Alertmanager."""
