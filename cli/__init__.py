"""The command line: `faultline ingest | train | score | evaluate | export | …`.

One module per noun holds its commands; `cli.start` puts them together.
"""

from cli.start import app, main

__all__ = ["app", "main"]
