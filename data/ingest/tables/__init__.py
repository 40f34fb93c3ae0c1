"""Tables of any system as traces: a mapping file says which column is which field."""
