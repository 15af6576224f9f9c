"""Lines of JSON over a socket, for processes that have nothing but its descriptor. Standard library only."""

from __future__ import annotations

import os

from clarify_rl.executor.codec import CodecError, Tree, dumps, loads

CHUNK = 1 << 18


class Channel:
    """Reads and writes trees, one a line. `received` was read before."""

    def __init__(self, descriptor: int, received: bytes = b"") -> None:
        self.descriptor = descriptor
        self._received = bytearray(received)

    def receive(self, max_bytes: int) -> Tree:
        """The next tree. EOFError when the other side is gone, CodecError for anything that is not one line of JSON."""
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched > max_bytes:
                raise CodecError("a line longer than the limit")
            part = os.read(self.descriptor, CHUNK)
            if not part:
                raise EOFError
            self._received += part
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return loads(line)

    def send(self, tree: Tree) -> int:
        """Writes one line; how many bytes it took."""
        line = dumps(tree) + b"\n"
        self.write(line)
        return len(line)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view) :]
