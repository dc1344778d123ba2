"""The web page of a library, and the JSON API behind it."""

from solfa.serving.app import build_app
from solfa.serving.desk import ServingConfig
from solfa.serving.server import AddressError, listen, serve

__all__ = ["AddressError", "ServingConfig", "build_app", "listen", "serve"]
