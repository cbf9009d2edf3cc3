"""Tells a whatchanged server what happened, and asks it what did."""

from ._batch import BatchOptions
from ._client import Actor, ImmutableClient, WhatchangedClient
from ._errors import ConnectionFailed, ProblemError, WhatchangedError

__all__ = [
    "Actor",
    "BatchOptions",
    "ConnectionFailed",
    "ImmutableClient",
    "ProblemError",
    "WhatchangedClient",
    "WhatchangedError",
]
