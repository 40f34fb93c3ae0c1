"""Words that differ between the four locales. The first wording is as frequent as the others."""

from __future__ import annotations

LOCALES = ("en-US", "en-GB", "en-IN", "en-AU")


def _local(us: str, gb: str, india: str, au: str) -> dict[str, tuple[str, ...]]:
    return {
        locale: tuple(words.split("|"))
        for locale, words in zip(LOCALES, (us, gb, india, au), strict=True)
    }


LOCAL_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "film": _local("movie", "film|film|movie", "movie|film|picture", "movie|film"),
    "tv": _local("tv|tv|television", "telly|tv|television", "tv|television", "telly|tv"),
    "shopping": _local("grocery|shopping", "shopping", "grocery|shopping", "shopping"),
    "mobile": _local("cell phone|phone", "mobile|phone", "mobile", "mobile|phone"),
    "pharmacy": _local("pharmacy|drugstore", "chemist", "medical shop|chemist", "chemist"),
    "rubbish": _local("trash|garbage", "rubbish|bins", "garbage|dustbin", "rubbish|bins"),
    "takeaway": _local("takeout", "takeaway|a takeaway", "food parcel", "takeaway"),
    "rain": _local("rain|shower", "rain|bucket down|drizzle", "rain", "rain|pour"),
    "hot": _local("hot", "warm|hot", "hot", "hot|warm"),
    "please": _local(
        "please|please|could you please",
        "please|please|if you wouldn't mind",
        "please|kindly",
        "please|please mate",
    ),
    "hello": _local("hey|okay", "right|okay", "hello|okay", "hey|righto"),
    "fall": _local("fall", "autumn", "monsoon", "autumn"),
    "afternoon": _local("afternoon", "afternoon", "afternoon", "arvo|afternoon"),
    "ring": _local("call", "ring|call|phone", "call|phone", "ring|call"),
    "text": _local("text", "text", "message|text", "text"),
    "fortnight": _local("two weeks", "a fortnight", "fifteen days", "a fortnight"),
    "heating": _local("heat|thermostat", "heating", "ac", "heating|aircon"),
    "soccer": _local("game", "match|football", "match", "game|footy"),
    "schedule": _local("schedule", "diary", "schedule", "diary|schedule"),
    "cab": _local("ride|cab", "taxi|cab", "auto|cab", "taxi|cab"),
    "chips": _local("fries", "chips", "fries", "hot chips"),
}
