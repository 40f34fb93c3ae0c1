"""What a request means and what is done about it: NLU, entity resolution, the result stage."""

from __future__ import annotations

from assistant.understanding.fulfilment import Fulfilment, Outage
from assistant.understanding.nlu import Nlu
from assistant.understanding.resolver import Resolver
from assistant.understanding.training import Damage, train_nlu

__all__ = ["Damage", "Fulfilment", "Nlu", "Outage", "Resolver", "train_nlu"]
