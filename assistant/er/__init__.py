"""Entity resolution: an index of the catalogue, and the resolver that ranks its entries.

Slots in, candidates out; `assistant.nlu` has decided which intent they belong to.
"""
