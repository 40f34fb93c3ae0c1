"""Statistics over tables of daily sums and turns: rates, change points, drift, comparisons.

Arrow tables and arrays in, tables out; nothing here opens a store's files, draws, or knows a page.
"""
