"""What a request is, in SQL over `turns`: its text, what NLU made of it, and who said it."""

from __future__ import annotations

# Longest pause within a session, in seconds.
PAUSE_S = 45.0
# Whose session a turn is of: its user's, else its dialogue's. The letter keeps a user and a
# dialogue of the same name apart.
SPEAKER = "coalesce('u' || nullif(user_id, ''), 'd' || dialogue_id)"
# What was heard: the first hypothesis.
HEARD = "asr.hypotheses[1].text"

# What may stand around a phrase of a request without changing it; the same to `re` and to DuckDB,
# where every match is removed.
COURTESIES = (
    r"^(?:(?:no i said|no i meant|no|please|can you|could you|would you|hey \w+|okay|ok|now|just"
    r"|make it|do|it's|i want) )+"
    r"|(?: (?:please|now|again|for me|thanks|thank you|mode))+$"
)

# What Python takes for a space, too; `\s` is ASCII only here.
_SPACES = r"[\s\pZ\x0b\x1c-\x1f\x85]"


def request_sql(text: str = HEARD) -> str:
    """SQL for a text as requests are looked up: lower case, single spaces of any script.

    The same in Python is `rewrites.interpretations.heard`.
    """
    return f"coalesce(trim(regexp_replace(lower({text}), '{_SPACES}+', ' ', 'g')), '')"


def frame_sql(domain: str, intent: str, slots: str) -> str:
    """SQL for what NLU made of a turn: domain|intent|slot=value…, slots sorted; null if no intent.

    A slot's value stays as logged: what is made of another spelling is another outcome. What
    separates the parts is replaced within them.
    """
    name, value = (
        f"regexp_replace(coalesce({part}::VARCHAR, ''), '[|\\x1f]', '/', 'g')"
        for part in ("s.name", "s.value")
    )
    return f"""CASE WHEN {intent} IS NOT NULL THEN concat_ws('|', coalesce({domain}, ''), {intent},
    nullif(array_to_string(list_sort([{name} || '=' || {value} for s in coalesce({slots}, [])]),
        '|'), '')) END"""
