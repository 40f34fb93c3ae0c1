"""How users put a goal into words: goals, situations, slot values, wording.

The phrases themselves are in `assistant.intents`.
"""
