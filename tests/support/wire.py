"""A wire to a local port that can be cut and mended, or lose an answer: what networks do, at a time of one's choice."""

import socket
import threading
from contextlib import suppress


class Wire:
    """Listens on a port of its own and carries bytes to and from another one, while it is whole."""

    def __init__(self, to: int):
        self.to = to
        self.whole = True
        self.losing = b""  # the answer to the next request that begins with this is lost
        self.lost: list[socket.socket] = []  # connections on which an answer is to be lost
        self.open: list[socket.socket] = []
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def cut(self) -> None:
        """End all connections, and each new one as it comes."""
        self.whole = False
        for end in self.open:
            _end(end)
        self.open = []

    def mend(self) -> None:
        self.whole = True

    def close(self) -> None:
        self.cut()
        self.door.close()

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self.door.accept()
            except OSError:
                return
            if not self.whole:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.to))
            self.open += [near, far]
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while (data := source.recv(1 << 16)) and target not in self.lost:
                if self.losing and data.startswith(self.losing):
                    self.losing = b""
                    self.lost.append(source)
                target.sendall(data)
        _end(source)
        _end(target)


def _end(end: socket.socket) -> None:
    with suppress(OSError):  # it may have ended
        end.shutdown(socket.SHUT_RDWR)
    end.close()
