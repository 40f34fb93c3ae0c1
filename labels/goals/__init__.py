"""Goals of a dialogue: spans and boundaries, and the measures of how well they were found."""
