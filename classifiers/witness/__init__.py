"""A witness: a small language understanding of one's own, asked what it makes of the same words.

Where it disagrees with the assistant's NLU, either may be wrong, and that is what the booster
weighs. `witness` holds all parts and makes the feature columns; `frames` learns which frames go
with which words; `language_model` how usual the words are; `tagger` which words fill which slots;
`utterances` is what they read; `ngrams` and `ridge` are what they are made of.

Does not belong here: heads on the text encoder (`classifiers.text_heads`).
"""
