"""A real server that speaks OpenAI's chat completions, with replies by a function."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Reply = str | int | None  # text, a status, or a connection that is cut


@contextmanager
def serving(
    answer: Callable[[str, int], Reply], note: Callable[[object], None] = lambda _: None, port: int = 0
) -> Iterator[str]:
    """A server that speaks the protocol; `answer` is given what was said and how many requests came before.

    `note` is given each request's body. `port` 0: any that is free.
    """
    counts, lock = [0], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            note(body)
            with lock:
                number, counts[0] = counts[0], counts[0] + 1
            reply = answer(body["messages"][-1]["content"], number)
            if reply is None:
                self.connection.close()
                return
            text = json.dumps({"choices": [{"message": {"content": reply}, "finish_reason": "stop"}]})
            self.send_response(reply if isinstance(reply, int) else 200)
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # callers that come all at once wait, where the default of 5 would turn some away

    server = Server(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"openai:http://127.0.0.1:{server.server_address[1]}/v1#tiny"
    finally:
        server.shutdown()
        server.server_close()
