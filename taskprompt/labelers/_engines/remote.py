"""An OpenAI-compatible server: vllm serve, SGLang, or a commercial API."""

import os
from typing import Any

from pydantic import Field, field_validator

from taskprompt.core.errors import SpecError
from taskprompt.labelers._engines.address import check_address, check_variable
from taskprompt.labelers._engines.base import Complete, Engine, Sampling
from taskprompt.labelers._engines.client import Remote

FIXED = ("model", "messages", "stream", "n", "tools", "functions")  # parameters that a recipe cannot set


class Server(Engine):
    """POST url/chat/completions. Errors that every request would have end the job; others are errors of a clip."""

    model: str  # model name on the server
    url: str  # such as http://host:8000/v1; env:NAME reads the variable NAME in the actor, if it contains a password
    key: str | None = None  # environment variable with the key, in the actor; null: no key is sent
    timeout: float = Field(default=120.0, gt=0)  # seconds for one whole answer
    retries: int = Field(default=5, ge=0)  # after 408, 409, 429, 5xx and time-outs, after 0.5 s, 1 s, ...
    at_once: int = Field(default=16, ge=1)  # concurrent requests per actor
    per_minute: float | None = Field(default=None, gt=0)  # requests per minute and actor; null: no limit
    parameters: dict[str, Any] = {}  # request parameters, override ours: {max_completion_tokens: 200, seed: null}

    @field_validator("url")
    @classmethod
    def _no_secret(cls, url: str) -> str:
        return check_address(url)

    @field_validator("key")
    @classmethod
    def _a_name(cls, key: str | None) -> str | None:
        return None if key is None else check_variable(key)

    @field_validator("parameters")
    @classmethod
    def _not_ours(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        extra = parameters.get("extra_body") or {}
        if not isinstance(extra, dict):
            raise SpecError(f"extra_body: found {type(extra).__name__}, expected more parameters, as name: value.")
        body = parameters | extra
        if ours := [n for n in FIXED if n in body]:
            raise SpecError(f"{ours[0]!r} cannot be set here; the request is one question with one answer.")
        return parameters

    def identity(self) -> dict[str, Any]:
        """The model name and parameters; the server does not identify the weights."""
        return {"model": self.model} | ({"parameters": self.parameters} if self.parameters else {})

    def start(self, sampling: Sampling) -> Complete:
        """Raises SpecError if the variable of the key, or of the address, is not set."""
        key = os.environ.get(self.key) if self.key else ""
        if self.key and not key:
            raise SpecError(f"server.key: the environment has no {self.key!r}. Export it where the actors run.")
        return Remote(self, sampling, key or "")
