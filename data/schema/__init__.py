"""The schemas of everything stored: trace records, tables, their layout and vocabulary.

Constants and types only; no file is opened here.
"""
