"""What the assistant says. Names go in as the catalogue spells them."""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

from assistant.contract import Context
from assistant.language.intents import Intent, SlotSpec

NOT_UNDERSTOOD = "Sorry, I did not get that. Could you say it again?"
TROUBLE = "Sorry, something went wrong. Please try again in a moment."
STALE = "Sorry, that does not seem to be available any more."
NO_SCREEN = "Sorry, this device has no screen to show that on."

# By domain; `{what}` is all that the request named.
_DONE: Mapping[str, tuple[str, ...]] = {
    "music": ("Playing {what}.", "Here is {what}.", "Now playing {what}."),
    "books": ("Reading {what}.", "Here is the audiobook {what}.", "Opening {what}."),
    "video": ("Starting {what}.", "Here is {what} on the screen.", "Playing {what}."),
    "radio": ("Here is {what}.", "Tuning in to {what}."),
    "home": ("Okay, {what}.", "Done: {what}.", "Okay."),
    "weather": ("Here is the forecast for {what}.", "For {what}, expect a few clouds."),
    "clock": ("Okay, {what}.", "Done, {what}, starting now."),
    "calendar": ("I have put {what} into your calendar.", "Okay, {what} is in your calendar."),
    "lists": ("I have updated your list: {what}.", "Okay, {what}."),
    "phone": ("Calling {what}.", "Okay, {what}."),
    "messages": ("Your message is on its way: {what}.", "Sent: {what}."),
    "places": ("I found {what} close to you.", "{what} is not far from here."),
    "knowledge": ("Here is what I know about {what}.", "About {what}: here is a summary."),
    "news": ("Here is the news from {what}.", "The latest from {what}."),
    "dialogue": ("Okay.", "Sure."),
}
_PLAIN = ("Okay.", "Done.", "Here you are.")
_QUESTIONS: Mapping[str, str] = {
    "duration": "For how long?",
    "time": "For what time?",
    "date": "For which day?",
    "message": "What should the message say?",
    "reminder": "What should I remind you of?",
    "event": "What should I call it?",
    "contact": "Who do you mean?",
    "light": "Which light?",
    "room": "Which room?",
    "list": "Which list?",
    "town": "For which town?",
    "percent": "To how many percent?",
    "temperature": "To how many degrees?",
    "number": "Which number?",
}


def done(intent: Intent, names: Mapping[str, str], context: Context) -> str:
    """What is said when all went well."""
    fact = context.device.state.get("oven")
    if intent.name == "OvenTemperature":
        return "The oven is hot." if fact == "on" else "The oven is off."
    options = _DONE.get(intent.domain, _PLAIN)
    text = options[crc32(f"{intent.name}{sorted(names.items())}".encode()) % len(options)]
    if not names:
        return text if "{what}" not in text else _PLAIN[len(intent.name) % len(_PLAIN)]
    return _sentence(text.format(what=", ".join(names.values())))


def asked(slot: SlotSpec) -> str:
    """The question for a slot that is missing."""
    return _QUESTIONS.get(slot.kinds[0], f"Which {slot.kinds[0].replace('_', ' ')} do you mean?")


def declined(intent: Intent) -> str:
    """What is said to a request that the assistant cannot serve."""
    return "Sorry, I cannot do that yet."


def not_found(text: str) -> str:
    return f"Sorry, I could not find {text}."


def not_here(name: str) -> str:
    return f"Sorry, {name} is not available in your region."


def unreachable(name: str) -> str:
    return f"Sorry, {name or 'the device'} is not responding."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
