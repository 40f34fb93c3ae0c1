"""Teaching: preferences and concepts that users state, and the dialogue that takes them."""
