"""A server on loopback that speaks OpenAI's protocol, and misbehaves as the name of the model asked for says."""

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Moody(BaseHTTPRequestHandler):
    """Counts requests by model in `asked`, and keeps the last one's body and headers."""

    asked: Counter = Counter()
    last: dict = {}

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = body["model"]
        type(self).asked[model] += 1
        type(self).last = {"body": body, "key": self.headers.get("Authorization"), "path": self.path}
        busy = model == "busy twice" and self.asked[model] <= 2
        if model == "always busy" or busy:
            return self._send(429, {"error": {"message": "slow down"}}, {"Retry-After": "0.01"})
        if model == "broken":
            return self._send(500, {"error": {"message": "out of memory"}})
        if model == "picky":
            return self._send(400, {"error": {"message": "the image has no pixels"}})
        if model == "locked":
            return self._send(401, {"error": {"message": f"no such key: {self.headers['Authorization']}"}})
        if model == "unknown":
            return self._send(404, {"error": {"message": "The model does not exist."}})
        if model == "html":
            return self._send(200, "<html>welcome</html>")
        if model == "nothing":
            return self._send(200, {"id": "1", "object": "chat.completion", "choices": []})
        if model == "slow":
            time.sleep(2)
        said = body["messages"][0]["content"][1]["text"].upper()
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        self._send(200, {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage, "model": model})

    def _send(self, status: int, answer, headers=()):
        whole = answer if isinstance(answer, str) else json.dumps(answer)
        try:
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(answer, str) else "application/json")
            for name, value in dict(headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole.encode())
        except BrokenPipeError:
            pass  # who asked has gone

    def log_message(self, *args):
        pass


@contextmanager
def serving():
    """http://127.0.0.1:port/v1, while it answers."""
    Moody.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
