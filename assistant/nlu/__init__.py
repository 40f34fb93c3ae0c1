"""Understanding: an intent classifier, a slot tagger, a gazetteer, and rules for follow-ups.

A recognised text in, frames out; phrases to learn from come from `assistant.intents`.
"""
