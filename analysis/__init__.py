"""Statistics over tables of daily sums and turns: rates, change points, drift, comparisons.

Arrow tables and arrays in, tables out; nothing here opens the files of a store, draws charts or
depends on a page.
"""
