"""What people want from the assistant and how they say it.

`intents` holds what can be asked for, its phrasings in `music`, `media`, `household`,
`information`, `planning`, `contact` and `dialogue`; `goals` draws what somebody wants now, and
`speech` puts it into their words.
"""
