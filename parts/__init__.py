"""What the pages are made of: `shared`, `jobs`, `server`, and one folder per page.

A page's folder may use `shared` and `jobs`, never another page's folder.
"""
