"""How tables on Explore show dates and times."""

from __future__ import annotations

DATE_FORMAT = "D MMM YYYY"
TIME_FORMAT = f"{DATE_FORMAT}, HH:mm:ss"
