"""How users put a goal into words: slot values, spoken forms, situations.

The phrases themselves are in `assistant.intents`.
"""
