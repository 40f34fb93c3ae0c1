"""What the Overview says of a period, and the same as one HTML file that opens offline.

Shared by the page and `faultline report`; widgets are in `parts`.
"""
