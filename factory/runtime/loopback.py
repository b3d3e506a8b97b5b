"""A port for a page or an API that this machine alone can reach."""

from __future__ import annotations

import os
import socket

from schemas.errors import RoundtripError

LOOPBACK = "127.0.0.1"


class PortError(RoundtripError):
    """A port that cannot be used."""


def open_port(port: int) -> socket.socket:
    """Return a socket that listens on loopback; 0 takes a free port. Raises PortError if the port cannot be used."""
    try:
        return socket.create_server((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        errno = getattr(error, "errno", None)
        reason = os.strerror(errno) if errno else error
        raise PortError(
            f"port {port} cannot be used ({reason}): give another one with --port, or 0 for a free one"
        ) from error
