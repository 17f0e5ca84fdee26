"""Free ports of this machine."""

import socket


def free_port(low: int | None = None) -> int:
    """Any free port; or the first from `low` on: below 10000 Ray's own workers do not listen."""
    if low is None:
        with socket.create_server(("127.0.0.1", 0)) as door:
            return door.getsockname()[1]
    for port in range(low, low + 200):
        with socket.socket() as candidate:
            if candidate.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise RuntimeError(f"no port is free from {low} on")
