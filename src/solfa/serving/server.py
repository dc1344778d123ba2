"""A socket of our own, and the server on it."""

import errno
import socket

import uvicorn
from fastapi import FastAPI

from solfa.errors import SolfaError

SECONDS_TO_END = 2  # for those who still listen when the server is told to end


class AddressError(SolfaError, OSError):
    """An address that cannot be listened on; the message names the cure."""


def listen(address: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes any that is free. Raises AddressError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
    except (OSError, OverflowError, TypeError, ValueError) as error:  # what may be no name at all
        listener.close()
        raise AddressError(_cure(address, port, error)) from None
    return listener


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Answer until Ctrl-C."""
    config = uvicorn.Config(
        app, log_level="warning", log_config=None, access_log=False, server_header=False, proxy_headers=False,
        ws="none", lifespan="off", timeout_graceful_shutdown=SECONDS_TO_END,
    )  # fmt: skip
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn passes it on when it has ended well
        pass
    finally:
        listener.close()


def _cure(address: str, port: int, error: Exception) -> str:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return f"Port {port} of {address} is in use. Take another one: --port {port + 1}"
    if code == errno.EACCES:
        return f"Port {port} is for administrators. Take one above 1023: --port 8765"
    return f"Nothing can listen on {address}, port {port} ({error}). Give an address of this machine: --host"
