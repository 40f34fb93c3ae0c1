"""Labels from feedback: what each part is worth where the truth is known."""
