"""The label model: goals, defects, intents and slots of turns that nobody has annotated."""
