"""Numbers and fillers where words are not parted by spaces: Chinese, Japanese, Korean, Thai."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from labels.rules.normalisation.language import Language

_HAN = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "兩": 2}
_HAN_SCALES = {"十": 10, "百": 100, "千": 1000, "万": 10_000, "萬": 10_000}
_THAI_DIGITS = "ศูนย์ หนึ่ง สอง สาม สี่ ห้า หก เจ็ด แปด เก้า"
_THAI = {word: n for n, word in enumerate(_THAI_DIGITS.split())} | {"เอ็ด": 1, "ยี่": 2}
_THAI_SCALES = {"สิบ": 10, "ร้อย": 100, "พัน": 1000, "หมื่น": 10_000, "แสน": 100_000}
_SINO = {c: n for n, c in enumerate("영일이삼사오육칠팔구")} | {"공": 0}
_SINO_SCALES = {"십": 10, "백": 100, "천": 1000, "만": 10_000}
_HOURS = ("한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉", "열", "열한", "열두")

# One character alone is a number before these only: 一 is part of many words.
_COUNTERS = "点點时時分秒度年月日号號个個番階楼樓層回台本枚人歳岁周週天小倍盏つ"
_HAN_RUN = re.compile(
    rf"[零〇一二三四五六七八九十百千万萬两兩]{{2,}}|[零〇一二三四五六七八九十百千两兩](?=[{_COUNTERS}%])"
    r"|(?<=[第点點%])[零〇一二三四五六七八九十]|(?<=\d[点點])[零〇一二三四五六七八九]|(?<=负)[一二三四五六七八九十]"
)
_THAI_WORDS = sorted((*_THAI, *_THAI_SCALES), key=len, reverse=True)
_THAI_RUN = re.compile("(?:" + "|".join(_THAI_WORDS) + ")+")
_THAI_WORD = re.compile("|".join(_THAI_WORDS))
_KOREAN_COUNTERS = "(?:도|분|시간|초|퍼센트|년|월|번|층|원|호|개월|단계|점)"
_SINO_RUN = re.compile(rf"(?<![가-힣])[영공일이삼사오육칠팔구십백천만]+(?=\s?{_KOREAN_COUNTERS})")
_HOUR_RUN = re.compile(
    "(?<![가-힣])(" + "|".join(sorted(_HOURS, key=len, reverse=True)) + r")(?=\s?(?:시|개|명))"
)

_Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _pm(match: re.Match[str]) -> str:
    hour = int(match[1])
    return f"{hour + 12 if 0 < hour < 12 else hour}{match[2]}"


def _clock(match: re.Match[str]) -> str:
    return f" {int(match[1])} {int(match[2]):02} "


_CLOCKS: dict[str, list[_Rule]] = {
    "zh": [
        (re.compile(r"(?:负|零下)\s?(?=\d)"), "负"),
        (re.compile(r"下午\s?(\d{1,2})(点|时|:)"), _pm),
        (re.compile(r"(\d{1,2})[点时]半"), r"\1:30"),
        (re.compile(r"(\d{1,2})[点时]1刻"), r"\1:15"),
        (re.compile(r"(\d{1,2})[点时]一刻"), r"\1:15"),
        (re.compile(r"(\d{1,2})[点时](?:钟|整)"), r"\1点"),
        (re.compile(r"(?<!\d)(\d{1,2})[点时](?:(?=\d\d)|(?=\d分))(\d{1,2})分?(?!\d)"), _clock),
        (re.compile(r"(?<=\d)点(?=\d)"), "小数点"),
        (re.compile(r"摄氏(?=度)"), ""),
    ],
    "ja": [
        (re.compile(r"午後\s?(\d{1,2})(時|:)"), _pm),
        (re.compile(r"(\d{1,2})時半"), r"\1:30"),
        (re.compile(r"(?<!\d)(\d{1,2})時(\d{1,2})分"), _clock),
        (re.compile(r"摂氏\s?(?=\d)"), ""),
    ],
    "ko": [
        (re.compile(r"(?<=\d)\s?프로(?![가-힣])"), "퍼센트"),
        (re.compile(r"오후\s?(\d{1,2})\s?(시|:)"), _pm),
        (re.compile(r"(\d{1,2})\s?시\s?반"), r"\1:30"),
        (re.compile(r"(?<!\d)(\d{1,2})\s?시\s?(\d{1,2})\s?분"), _clock),
        (re.compile(r"섭씨\s?(?=\d)"), ""),
    ],
    "th": [(re.compile(r"(?<=\d)\s?จุด\s?(?=\d)"), "."), (re.compile(r"ลบ\s?(?=\d)"), "ลบ")],
}
_CLOCKS["yue"] = _CLOCKS["zh"]
# The word after a full hour: 7:00 is 7点.
HOURS = {"zh": "点", "yue": "点", "ja": "時", "ko": "시"}


def in_figures(text: str, language: Language) -> str:
    """Folded `text` with number words as figures and clock times as hours and minutes."""
    if language.code == "ko":
        text = _SINO_RUN.sub(lambda run: _valued(list(run[0]), _SINO, _SINO_SCALES), text)
        text = _HOUR_RUN.sub(lambda run: str(_HOURS.index(run[1]) + 1), text)
    elif language.code == "th":
        text = _THAI_RUN.sub(
            lambda run: _valued(_THAI_WORD.findall(run[0]), _THAI, _THAI_SCALES), text
        )
    else:
        text = text.replace("百分之", "%")
        text = _HAN_RUN.sub(lambda run: _valued(list(run[0]), _HAN, _HAN_SCALES), text)
    for pattern, replacement in _CLOCKS[language.code]:
        text = pattern.sub(replacement, text)
    return text


def _valued(words: list[str], digits: dict[str, int], scales: dict[str, int]) -> str:
    """A number in words: by its scales, or digit by digit; as it is if it is none."""
    if scales.keys().isdisjoint(words):
        return "".join(str(digits[word]) for word in words)
    total = section = 0
    digit: int | None = None
    last = 10**9
    for word in words:
        if word in scales:
            scale = scales[word]
            if scale >= 10_000:
                total += (section + (digit or 0) or 1) * scale
                section, last = 0, scale
            elif scale >= last:
                return "".join(words)
            else:
                section += (1 if digit is None else digit) * scale
                last = scale
            digit = None
        elif digit:
            return "".join(words)
        else:
            digit = digits[word]
    return str(total + section + (digit or 0))


@lru_cache(maxsize=8)
def _fillers(language: Language) -> tuple[re.Pattern[str], re.Pattern[str]] | None:
    words = sorted(language.fillers, key=len, reverse=True)
    if not words:
        return None
    word = "(?:" + "|".join(map(re.escape, words)) + ")"
    gap = r"[\s、,，。.…]"
    return re.compile(rf"^{gap}*(?:{word}{gap}*)+"), re.compile(
        rf"(?<={gap[:-1]}]){word}(?={gap}|$)"
    )


def without_fillers(text: str, language: Language) -> str:
    """`text` without hesitations at its start, and elsewhere where they are set apart."""
    patterns = _fillers(language)
    if patterns is None or language.code == "ko":
        return text
    start, apart = patterns
    return apart.sub("", start.sub("", text))
