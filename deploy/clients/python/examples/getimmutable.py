"""For programs that import the client by this name: keep this file beside them."""

from whatchanged_client import ImmutableClient

__all__ = ["ImmutableClient"]
