"""What was meant: the intent, the slots and their values of turns that nobody has annotated.

`requests` (Arrow → turns in order) → `words` (tokens) → `targets` (what is learned) → `network`
(tags, intents and frequent slots in their context) → `candidates` → `scorer` → `ways`, of which
`baseline` is the simplest → `model`, learned in `training`.
Feedback, goals and failure points do not belong here.
"""

from __future__ import annotations

from labels.generated.frames.model import Frames
from labels.generated.frames.settings import Settings
from labels.generated.frames.training import train

__all__ = ["Frames", "Settings", "train"]
