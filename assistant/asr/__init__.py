"""Speech recognition: a phone channel, a lexicon, a language model and a beam search over them.

The words that were spoken go in, an n-best list comes out. `assistant.nlu` interprets it.
"""
