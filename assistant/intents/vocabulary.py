"""Words that differ between the four locales; a wording listed twice is twice as frequent."""

from __future__ import annotations

from assistant.stages import LOCALES


def _local(us: str, gb: str, india: str, au: str) -> dict[str, tuple[str, ...]]:
    return {
        locale: tuple(words.split("|"))
        for locale, words in zip(LOCALES, (us, gb, india, au), strict=True)
    }


LOCAL_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "film": _local("movie", "film|film|movie", "movie|film|picture", "movie|film"),
    "films": _local("movies", "films|films|movies", "movies|films|pictures", "movies|films"),
    "tv": _local("tv|tv|television", "telly|tv|television", "tv|television", "telly|tv"),
    "shopping": _local("grocery|shopping", "shopping", "grocery|shopping", "shopping"),
    "mobile": _local("cell phone|cell", "mobile", "mobile", "mobile"),
    "rubbish": _local("trash|garbage", "rubbish|bins", "garbage|dustbin", "rubbish|bins"),
    "takeaway": _local("takeout|delivery", "takeaway", "home delivery|parcel", "takeaway"),
    "rain": _local("rain|pour", "rain|drizzle|bucket down", "rain", "rain|bucket down"),
    "hot": _local("hot", "warm|hot", "hot|humid", "hot|a scorcher"),
    "please": _local(
        "please|please|could you please",
        "please|please|if you wouldn't mind",
        "please|kindly",
        "please|please|thanks mate",
    ),
    "hello": _local("hey|okay", "right|okay", "hello|okay", "hey|righto"),
    "ring": _local("call", "ring|call|phone", "call|phone", "ring|call"),
    "text": _local("text", "text", "message|text", "text"),
    "heating": _local("heat|thermostat", "heating", "ac|air conditioner", "heating|aircon"),
    "soccer": _local("game", "match|football", "match", "game|footy"),
    "schedule": _local("schedule", "diary", "schedule|diary", "diary|schedule"),
    "cab": _local("ride|cab", "taxi|cab", "auto|cab", "taxi|cab"),
    "money": _local("dollars|bucks", "pounds|quid", "rupees", "dollars"),
    "afternoon": _local("afternoon", "afternoon", "afternoon", "arvo|afternoon"),
    "weekend": _local("on the weekend", "at the weekend", "this weekend", "on the weekend"),
}
