"""What users' behaviour says about turns: signals, how far to trust each, and when to ask."""
