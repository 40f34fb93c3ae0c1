"""NLU: an intent classifier, a slot tagger, a gazetteer, and a model of follow-ups.

A recognised text in, frames out; the phrases to learn from are those of `assistant.intents`.
"""
