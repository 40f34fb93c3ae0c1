"""Rewrites mined from sessions: what people say again when a request fails, and what then works.

`sessions` → `interpretations` (counts that add up) → `success` (what failed, estimated without
labels) → `markov` (the absorbing chain) → `mining` (rows), `neighbours` (texts never heard),
`self_aware` (outcomes of rewrites in use), `replay` (what they are worth on later sessions).
`rephrase` finds the later turn that says one failed turn's want again.
"""
