"""What the assistant says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from zlib import crc32

from assistant.intents.intents import Intent, SlotSpec
from assistant.stages import Context

NOT_UNDERSTOOD = "Sorry, I did not get that. Could you say it again?"
TROUBLE = "Sorry, something went wrong. Please try again in a moment."
STALE = "Sorry, that does not seem to be available any more."
NO_SCREEN = "Sorry, I can only show that on a device with a screen."
UNREADABLE = "Sorry, I could not make out that time."

# Intent, then what may be said. `{slot}` is what was asked for in the catalogue's words; of the
# sentences whose slots are known, those that use most of them are taken.
_TEXT = """
PlayMusic: {title} by {artist}. | Playing {title} by {artist}. | Playing {title}. | Here is {title}.
PlayArtist: Shuffling songs by {artist}. | Here is some {artist}. | Songs by {artist}.
PlayAlbum: The album {title} by {artist}. | The album {title}. | Playing the album {title}.
PlayPlaylist: Here is your playlist {playlist}. | Shuffling {playlist}.
PlayGenre: Here is some {genre}. | A station for you: {genre}.
NextTrack: Skipping. | Next one.
PreviousTrack: Going back one song.
WhatIsPlaying: This is what is playing right now. | That is from the current playlist.
LikeSong: Glad you like it. | I will remember that you like this one.
PlayAudiobook: Reading {title}. | Resuming the audiobook {title}. | Here is the audiobook {title}.
ReadChapter: Going to chapter {number}. | Chapter {number}.
BookProgress: There is about an hour left in this book.
PlayStation: Here is {station}. | {station}, live.
PlayPodcast: Here is the latest episode of {podcast}. | Playing {podcast}.
PlayVideo: Starting {title}. | Here is {title}. | Playing {title} on the screen.
PlayEpisode: {title}, episode {number}. | Playing episode {number} of {title}.
WhoStarsIn: Here is the cast of {title}. | {title} has quite a cast; here are the leads.
FindVideo: Here are some results for {genre}. | I found these in {genre}.
PauseMedia: Paused. | Okay.
ResumeMedia: Resuming. | Okay.
SetVolume: Volume at {level}. | Okay, {level}.
VolumeUp: Okay. | Louder.
VolumeDown: Okay. | Quieter.
LightOn: {light} on. | Okay, the {light} is on. | Okay, the lights are on.
LightOff: {light} off. | Okay, the {light} is off. | Okay, the lights are off.
DimLight: Setting the {light} to {level}. | Dimming the {light}.
SwitchOn: Okay, the {appliance} is on. | Turning on the {appliance}.
SwitchOff: Okay, the {appliance} is off. | Turning off the {appliance}.
IsItOn: The {appliance} is off at the moment. | The {appliance} is on.
SetThermostat: The {room} is set to {temperature}. | The thermostat is set to {temperature}.
RoomTemperature: It is twenty one degrees in the {room}. | It is twenty one degrees in here.
SetOven: The oven is heating to {temperature}.
LockDoor: The {door} is locked. | Okay, locking the {door}.
UnlockDoor: The {door} is unlocked. | Okay, unlocking the {door}.
GetWeather: In {town} {date}, expect clouds and some sun. | In {town}, it is mild with some clouds.
GetTemperature: In {town} {date}, it will be around eighteen degrees. | It is eighteen in {town}.
WillItRain: No rain is expected in {town} {date}. | There is a small chance of rain in {town}.
GetSunset: The sun sets in {town} {date} at ten to eight. | In {town}, the sun sets at ten to eight.
GetNews: Here is the latest from {source}. | Here are the headlines.
GetNewsAbout: Here is the news about {subject}. | On {subject}: here is the latest.
GetScore: {team} won their last game by two. | The {team} game ended in a draw.
NextGame: {team} play on Saturday evening. | The next {team} game is on Saturday.
Define: {word} is a word with more than one meaning; here is the first.
Calculate: That makes {first} with {second}; I have put the answer on your phone.
GetRecipe: Here is a recipe for {dish}. | For {dish}, you need about forty minutes.
CallContact: Calling {contact}. | Okay, calling {contact}.
SendMessage: I have sent {message} to {contact}. | Sending your message to {contact}: {message}.
ReadMessages: One new message from {contact}. | You have two new messages.
Announce: Announcing: {message}. | Okay, announcing {message}.
FindPlace: Here is a {category} in {town}. | I found a {category} nearby.
PlaceHours: {place} is open {date} until nine. | {place} is open until nine.
CallPlace: Calling {place}.
GetDirections: Here is the way to {place}. | Starting the route to {place}.
GetTraffic: Traffic is light on your usual way.
SetAlarm: Alarm set for {time} {date}. | Alarm set for {time}.
CancelAlarm: The alarm for {time} is cancelled. | Your alarm is cancelled.
SetTimer: {duration}, starting now. | Timer set for {duration}.
TimeLeft: You have about five minutes left.
CancelTimer: Timer cancelled.
GetTime: In {town}, it is just after the hour. | The time in {town} is on the screen.
SetReminder: I will remind you {date} at {time} to {task}. | I will remind you {date} to {task}. \
| I will remind you at {time} to {task}. | I will remind you to {task}.
GetReminders: You have one reminder {date}. | You have two reminders.
AddEvent: I have added {event} {date} at {time}. | I have added {event} {date}. | Added {event}.
GetEvents: You have one event {date}. | There are two events in your calendar.
CancelEvent: I have removed {event} {date}. | I have removed {event} from your calendar.
AddItem: I have added {item} to your {list}. | I have added {item} to your shopping list.
RemoveItem: I have removed {item} from your {list}. | I have removed {item}.
ReadList: Here is what is on your {list}. | You have four things on your shopping list.
TellJoke: Why did the lamp fail school? It was not very bright.
Greeting: Hello! | Hi there.
Yes: Okay. | Great.
No: Okay, never mind. | Alright.
Stop: Okay.
Cancel: Cancelled. | Okay, never mind.
GoBack: Going back.
Repeat: I said: here you are.
Help: You can ask me for music, the weather, timers and more.
"""
_DECLINED = (
    "Sorry, I cannot do that yet.",
    "I am afraid that is not something I can help with.",
    "I do not know how to do that yet.",
)
_QUESTIONS: Mapping[str, str] = {
    "duration": "For how long?",
    "time": "For what time?",
    "date": "For which day?",
    "message": "What should I say?",
    "reminder": "What should I remind you of?",
    "event": "What should I call it?",
    "contact": "Who do you mean?",
    "town": "For which town?",
    "percent": "To how many percent?",
    "temperature": "To how many degrees?",
    "number": "Which number?",
}
_SLOT = re.compile(r"\{(\w+)\}")


def _read(text: str) -> dict[str, list[tuple[str, frozenset[str]]]]:
    table = {}
    for line in text.strip().splitlines():
        intent, _, sentences = line.partition(": ")
        said = [sentence.strip() for sentence in sentences.split(" | ")]
        table[intent] = [(s, frozenset(_SLOT.findall(s))) for s in said]
    return table


_SENTENCES = _read(_TEXT)


def done(intent: Intent, names: Mapping[str, str], answers: Iterable[str], context: Context) -> str:
    """What is said when all went well; `answers` are what the catalogue has to say itself."""
    answer = next((answer for answer in answers if answer), "")
    if answer:
        return _sentence(f"{answer}.")
    if intent.name == "OvenTemperature":
        on = context.device.state.get("oven") == "on"
        return "The oven is at temperature." if on else "The oven is off."
    fitting = [(s, used) for s, used in _SENTENCES.get(intent.name, ()) if used <= names.keys()]
    if not fitting:
        return _sentence(f"okay, {', '.join(names.values())}.") if names else "Okay."
    most = max(len(used) for _, used in fitting)
    options = [s for s, used in fitting if len(used) == most]
    told = "|".join(names.values())
    return _sentence(options[crc32(told.encode()) % len(options)].format_map(names))


def asked(slot: SlotSpec) -> str:
    """The question for a slot that is missing."""
    return _QUESTIONS.get(slot.kinds[0], f"Which {slot.kinds[0].replace('_', ' ')} do you mean?")


def declined(intent: Intent) -> str:
    """What is said to a request that the assistant cannot serve."""
    return _DECLINED[len(intent.name) % len(_DECLINED)]


def not_found(text: str) -> str:
    return f"Sorry, I could not find {text}."


def not_here(name: str) -> str:
    return f"Sorry, {name} is not available in your region."


def not_in_plan(name: str) -> str:
    return f"To hear or see {name}, you need the premium subscription."


def unreachable(name: str) -> str:
    return f"Sorry, {name or 'the device'} is not responding."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
