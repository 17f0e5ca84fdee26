"""A server on loopback that speaks OpenAI's protocol, and misbehaves as the name of the model asked for says."""

import json
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
    {"type": "text", "text": "A man "},
    {"type": "text", "text": "runs."},
]
# Model -> message, finish_reason, usage.
MESSAGES = {
    "thinks": ({"content": "<think>hm</think> A man runs."}, "stop", USAGE),
    "thinks apart": ({"content": "A man runs.", "reasoning_content": "hm"}, "stop", USAGE),
    "thinks, newly": ({"content": "A man runs.", "reasoning": "hm"}, "stop", USAGE),
    "thinks only": ({"content": None, "reasoning_content": "hm"}, "length", USAGE),
    "in parts": (
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "A man runs."},
            ]
        },
        "stop",
        USAGE,
    ),
    "filtered": ({"content": "A man"}, "content_filter", USAGE),
    "refuses": ({"content": None, "refusal": "I cannot."}, "stop", USAGE),
    "counts nothing": ({"content": "A man runs."}, "stop", dict.fromkeys(USAGE)),
    "counts in words": ({"content": "A man runs."}, "stop", {"prompt_tokens": "many"}),
    "no usage": ({"content": "A man runs."}, None, None),
    "half a pair": ({"content": "A man \ud83c"}, "stop", USAGE),
}


class Moody(BaseHTTPRequestHandler):
    """Counts requests by model in `asked`, and keeps the last one's body and headers."""

    asked: Counter = Counter()
    last: dict = {}
    pictures: list = []  # that were seen

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = body["model"]
        type(self).asked[model] += 1
        picture = body["messages"][0]["content"][0]["image_url"]["url"]
        if picture not in self.pictures:
            self.pictures.append(picture)
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
        if model == "drips":
            return self._drip()
        if (model == "poisoned" and self.pictures.index(picture) == 1) or (model == "dies" and self.asked[model] > 2):
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if model == "new" and "max_tokens" in body:
            error = {"message": "Use 'max_completion_tokens' instead of 'max_tokens'.", "param": "max_tokens"}
            return self._send(400, {"error": error | {"code": "unsupported_parameter"}})
        if model == "first is bad" and self.pictures.index(picture) < 2:
            return self._send(400, {"error": {"message": "the image has no pixels"}})
        if model == "empty purse":
            return self._send(429, {"error": {"message": "You exceeded your quota.", "code": "insufficient_quota"}})
        if model == "moved":
            return self._send(301, {}, {"Location": "/v2/chat/completions"})
        if model == "telltale":
            return self._send(
                400, {"error": {"message": f"bad key {self.headers['Authorization'][7:16]}... in {self.path}"}}
            )
        said = body["messages"][0]["content"][1]["text"].upper()
        message, finish, usage = MESSAGES.get(model, ({"content": said}, "stop", USAGE))
        choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant"} | message}
        whole = {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage, "model": model}
        return self._send(200, whole)

    def _drip(self):
        """A byte now and then, for ever."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "100000")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b" ")
                time.sleep(0.05)
        except OSError:
            self.close_connection = True

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
    Moody.pictures.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
