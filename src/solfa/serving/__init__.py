"""The web page of a library, and the JSON API behind it."""

from solfa.serving.app import build_app
from solfa.serving.prefix import checked_prefix
from solfa.serving.server import AddressError, listen, serve
from solfa.serving.state import ServingConfig

__all__ = ["AddressError", "ServingConfig", "build_app", "checked_prefix", "listen", "serve"]
