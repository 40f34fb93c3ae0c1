"""Entity resolution: an index of the catalogue, and the resolver that ranks its entries.

Slots in, candidates out; which intent they belong to has been decided in `assistant.nlu`.
"""
