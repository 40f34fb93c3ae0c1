"""The Overview's figures for a period, and a report of them as one HTML file that opens offline.

Shared by the page and `faultline report`; widgets are in `parts`.
"""
