"""The reference assistant: a world, users, and stages that really run and really fail.

Only `faultline demo`, tests and benchmarks use it; nothing else may depend on it.
"""
