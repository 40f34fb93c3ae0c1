"""The result stage: what is done with an interpretation, and what is answered.

Frames and entities in, a status and a response out.
"""
