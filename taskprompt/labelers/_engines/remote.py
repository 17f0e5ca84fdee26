"""Any server that speaks OpenAI's protocol: vllm serve, SGLang, or a company's."""

import base64
import io
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import Field

from taskprompt.core.errors import SpecError
from taskprompt.labelers._engines.base import Complete, Engine, Query, Reply, Sampling


class Server(Engine):
    """POST url/chat/completions. No connection, and a wrong key or model, end the job; all else is a clip's error."""

    model: str  # its name at the server
    url: str  # such as http://host:8000/v1
    key: str | None = None  # the environment variable that holds the key, on the actor; null: no key is sent
    timeout: float = Field(default=120.0, gt=0)  # seconds that one answer may take
    retries: int = Field(default=5, ge=0)  # after 408, 409, 429, 5xx and time-outs: 0.5 s apart, then twice that ...
    at_once: int = Field(default=16, ge=1)  # requests that an actor has open
    per_minute: float | None = Field(default=None, gt=0)  # requests that an actor sends in a minute; null: no limit

    def identity(self) -> dict[str, Any]:
        """The name alone: what stands behind it, the server does not say."""
        return {"model": self.model}

    def start(self, sampling: Sampling) -> Complete:
        """Raises SpecError where the variable of the key is not set."""
        key = os.environ.get(self.key) if self.key else "none"
        if not key:
            raise SpecError(f"server.key: the environment has no {self.key!r}. Export it where the actors run.")
        return Remote(self, sampling, key)


class Remote:
    """complete(queries) -> replies."""

    def __init__(self, spec: Server, sampling: Sampling, key: str):
        from openai import OpenAI

        self.spec, self.sampling, self.key = spec, sampling, key
        self.client = OpenAI(api_key=key, base_url=spec.url, timeout=spec.timeout, max_retries=spec.retries)
        self.pace = Pace(spec.per_minute)
        self.pool = ThreadPoolExecutor(spec.at_once)

    def __call__(self, queries: Sequence[Query]) -> list[Reply]:
        """Each is a request of its own. Raises SpecError for what no other query would survive either."""
        return list(self.pool.map(self._one, queries))

    def _one(self, query: Query) -> Reply:
        import openai

        self.pace.wait()
        try:
            found = self.client.chat.completions.create(**self._request(query))  # type: ignore[call-overload]
        except openai.APITimeoutError:
            return Reply(error=f"no answer within {self.spec.timeout:g} s, {self.spec.retries + 1} times")
        except openai.APIConnectionError as error:
            raise SpecError(
                f"server.url {self.spec.url}: no connection, {self.spec.retries + 1} times: {self._clean(error)}. "
                "Start the server, or correct the address; what is answered is kept."
            ) from None
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise SpecError(
                f"server {self.spec.url}, model {self.spec.model!r}: HTTP {error.status_code}: {self._clean(error)}. "
                "Correct `key`, `model` or `url`; what is answered is kept."
            ) from None
        except openai.APIStatusError as error:
            return Reply(error=f"HTTP {error.status_code}: {self._clean(error)}")
        except (openai.APIError, ValueError) as error:
            return Reply(error=f"the server's answer cannot be read: {self._clean(error)}")
        return self._reply(found)

    def _request(self, query: Query) -> dict[str, Any]:
        drawn = self.sampling
        request: dict[str, Any] = {
            "model": self.spec.model,
            "messages": [{"role": "user", "content": [_picture(query), {"type": "text", "text": query.text}]}],
            "temperature": drawn.temperature,
            "top_p": drawn.top_p,
            "seed": drawn.seed,
            "max_tokens": query.max_tokens,
        }
        if query.schema is not None:
            shape = {"name": "answer", "schema": query.schema, "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": shape}
        return request

    def _reply(self, found: Any) -> Reply:
        first = (getattr(found, "choices", None) or [None])[0]
        text = getattr(getattr(first, "message", None), "content", None)
        if not isinstance(text, str):
            return Reply(error=f"the server's answer has no text: {self._clean(found)}")
        used = found.usage
        read, written = (used.prompt_tokens, used.completion_tokens) if used else (0, 0)
        return Reply(text, read, written, getattr(first, "finish_reason", None) == "length")

    def _clean(self, what: Any) -> str:
        """In one line of at most 300 letters, without the key: servers repeat it in their messages."""
        line = " ".join(str(what).split())
        return (line.replace(self.key, "***") if self.spec.key else line)[:300]


class Pace:
    """At most so many calls of `wait` return in a minute, evenly spread."""

    def __init__(self, per_minute: float | None):
        self.gap = 60 / per_minute if per_minute else 0.0
        self.next, self.lock = time.monotonic(), threading.Lock()

    def wait(self) -> None:
        """Until it is this caller's turn."""
        with self.lock:
            now = time.monotonic()
            mine = max(now, self.next)
            self.next = mine + self.gap
        time.sleep(mine - now)


def _picture(query: Query) -> dict[str, Any]:
    """As PNG in the message itself."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(query.picture).save(file, "png")
    data = base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
