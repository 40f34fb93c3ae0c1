"""Speech recognition: a phone channel, a lexicon, a language model and a beam search over them.

Text in, an n-best list out; what the words mean is `assistant.nlu`.
"""
