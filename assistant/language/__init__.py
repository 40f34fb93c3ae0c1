"""What people want from the assistant and how they say it."""
