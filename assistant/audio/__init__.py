"""What the assistant hears and says: wake, recognition, speech output, and the room between."""
