"""Rewrites at run time: exact rows, retrieval and ranking over past requests, and a server.

`history` → `tabulate` (tables of requests and habits) → `retrieval` over `vectors` → `ranking`,
learned in `training`; all of it is a `rewriter`, kept in an `index_folder`, asked by the `server`.
"""
