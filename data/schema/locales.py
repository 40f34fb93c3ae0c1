"""Locales in one spelling: the canonical form of BCP 47."""

from __future__ import annotations

import re
from functools import lru_cache

# The encoding and the modifier of a POSIX locale: de_DE.UTF-8@euro.
_POSIX = re.compile(r"([A-Za-z]{2,3}(?:_[A-Za-z]{2})?)(?:\.[\w-]+)?(?:@\w+)?")


@lru_cache(maxsize=4_096)
def canonical(locale: str) -> str:
    """`locale` in the canonical form of BCP 47: `en_US` and `EN-us` are `en-US`, `iw` is `he`.

    What is no known language, or none at all (`klingon`, `default`), is returned as it is.
    """
    # Takes 30 ms, which a command that ingests nothing need not wait for.
    import langcodes
    from langcodes.tag_parser import LanguageTagError

    tag = locale.strip()
    posix = _POSIX.fullmatch(tag)
    if posix:
        tag = posix[1]
    try:
        standard = langcodes.standardize_tag(tag)
    except LanguageTagError:
        return locale
    return standard if langcodes.tag_is_valid(standard) else locale
