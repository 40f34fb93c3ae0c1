"""A catalogue of some 3,000 entities from a seed."""

from __future__ import annotations

import numpy as np

from assistant.world.catalogue import Catalogue
from assistant.world.composer import Composer
from assistant.world.media import make_media
from assistant.world.places import make_places
from assistant.world.topics import make_topics


def build_catalogue(seed: int) -> Catalogue:
    """Entities by seed; another seed has other names, relations and popularities."""
    composer = Composer(np.random.default_rng([seed, 11]))
    make_media(composer)
    make_places(composer)
    make_topics(composer)
    return Catalogue(composer.entities)
