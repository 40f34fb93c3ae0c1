"""Labels that a model generates: goals, whether they were reached, defects, intents and slots."""
