"""Pieces of the Rewrites page: the ranked list, one rewrite, its decision, evidence, export.

Queries are in `data.queries.rewrites`; what other pages show of rewrites is in
`parts.shared.rewrites`.
"""
