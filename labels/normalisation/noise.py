"""What is not speech to the assistant: noise marks, and the wake phrase."""

from __future__ import annotations

import re
from functools import lru_cache

# Words that transcribers and recognisers put into brackets, in the languages of the table.
_NOISES = (
    "noises?|background noises?|spoken noise|nsn|spn|sil|silence|blank audio|no speech|music|music playing|"
    "laughs?|laughter|laughing|chuckles?|giggles?|coughs?|coughing|sneezes?|sniffs?|sighs?|breath|breathing|breathes|"
    "inhales?|exhales?|gasps?|clears throat|throat clearing|hesitation|pause|click|clicks|beep|beeps|typing|"
    "applause|clapping|cheering|crosstalk|overlap|inaudible|unintelligible|unclear|unk|unknown|foreign|"
    "speaking foreign language|speaks? in foreign language|static|background|background speech|background music|"
    "wind|footsteps|barking|dog barking|crying|screaming|whispers?|whispering|um|uh|"
    "geräusch|geräusche|rauschen|musik|lachen|lacht|husten|hustet|gelächter|applaus|stille|unverständlich|räuspern|räuspert sich|"
    "bruit|bruits|musique|rires?|rit|toux|tousse|silence|inaudible|soupir|"
    "ruido|ruidos|música|risas?|ríe|tos|tose|silencio|inaudible|aplausos|"
    "rumore|rumori|musica|risate?|ride|tosse|silenzio|applausi|"
    "ruído|ruídos|risos?|silêncio|geluid|muziek|gelach|lacht|hoest|stilte|"
    "gürültü|müzik|gülme|gülüyor|öksürük|sessizlik|шум|музыка|смех|смеется|кашель|тишина|аплодисменты|"
    "szum|muzyka|śmiech|kaszel|cisza|hudba|smích|šum|musikk|latter|skratt|brus|hluk|"
    "ノイズ|雑音|音楽|笑|笑い|拍手|咳|無音|沈黙|噪音|噪声|音乐|笑声|掌声|咳嗽|静音|음악|웃음|박수|소음|잡음|기침|"
    "ضوضاء|موسيقى|ضحك|تصفيق|صمت|शोर|संगीत|हंसी|เสียงดนตรี|ดนตรี|เสียงหัวเราะ"
).replace(" ", "[ _]")
_MARK = re.compile(
    # Any tag: <noise>, </s>, <|nospeech|>.
    r"<[/|]?[^\W\d][\w |-]*[/|]?>"
    rf"|[\[({{*~]+\s*(?:{_NOISES})\s*[\])}}*~]+"
    # As in transcripts by rule: [BLANK_AUDIO], ++noise++, %HESITATION, &uh.
    r"|[\[{][a-z]+(?:_[a-z]+)+[\]}]"
    rf"|\+\+\s*(?:{_NOISES})\s*\+\+|%hesitation\b"
    r"|[♪♫♬♩]+"
)

# Phrases of assistants on the market. "Computer" and the like are words.
_KNOWN = re.compile(
    r"(?:(?:hey|hi|hello|ok|okay|oké|ey) (?:google|mycroft|nabu|jarvis|rhasspy|snips|alexa|siri|cortana|bixby)"
    r"|alexa|siri|cortana|bixby)(?: |$)"
)
_VERSION = re.compile(r"[ _]v?\d+(?:[ ._]\d+)*$")


def without_marks(text: str) -> str:
    """Lower-case `text` without marks for noise, music and unknown words."""
    if not _has_mark(text):
        return text
    return _MARK.sub(" ", text)


_has_mark = re.compile(r"[\[({<*~♪♫♬♩]|\+\+|%h").search


@lru_cache(maxsize=1024)
def wake_words(phrase: str | None) -> str:
    """A logged wake phrase as words; models are named `hey_juno_v0.1`.

    >>> wake_words("Hey_Juno_v0.1")
    'Hey Juno'
    """
    return _VERSION.sub("", phrase or "").replace("_", " ").strip()


def without_wake_phrase(words: str, phrase: str, *, spaced: bool = True) -> str:
    """Normalised `words` without the wake phrase, or its end, in front.

    `phrase` is normalised too; without it, phrases of well-known assistants are taken off.
    `spaced`: whether the language parts words by spaces.
    """
    if phrase and not spaced:
        return words.replace(" ", "").removeprefix(phrase.replace(" ", ""))
    if phrase:
        parts = phrase.split()
        for first in range(len(parts)):
            end = " ".join(parts[first:])
            # A clipped phrase: only its name, not "hey" alone.
            if words == end or words.startswith(f"{end} "):
                return words[len(end) + 1 :]
        spaced = phrase.replace(" ", "")
        head, _, rest = words.partition(" ")
        return rest if head == spaced else words
    match = _KNOWN.match(words)
    return words[match.end() :] if match else words
