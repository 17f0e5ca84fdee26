"""OpenAI's protocol: query -> request, and response -> reply."""

import base64
import io
from typing import Any

from taskprompt.labelers._engines.base import Query, Reply, Sampling, parameters_of

SAID = ("text", "output_text", "refusal")  # types of the parts of an answer; others, such as pictures, are left out
THOUGHT = ("thinking", "reasoning", "reasoning_text", "summary_text", "reasoning_content")


def request_of(query: Query, model: str, sampling: Sampling, parameters: dict[str, Any]) -> dict[str, Any]:
    """Arguments of chat.completions.create. All parameters are sent unchanged, also those unknown to the client."""
    ours: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "max_tokens": query.max_tokens,
    }
    if "max_completion_tokens" in parameters:  # newer name of max_tokens; never send both
        del ours["max_tokens"]
    if query.schema is not None:
        shape = {"name": "answer", "schema": query.schema, "strict": True}
        ours["response_format"] = {"type": "json_schema", "json_schema": shape}
    more = {name: value for name, value in parameters.items() if name != "extra_body"}
    message = {"role": "user", "content": [_picture(query), {"type": "text", "text": query.text}]}
    body = parameters_of(ours, more | (parameters.get("extra_body") or {}))
    return {"model": model, "messages": [message], "extra_body": body}


def _picture(query: Query) -> dict[str, Any]:
    """The image as PNG within the message."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(query.picture).save(file, "png")
    data = base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def reply_of(found: Any) -> Reply:
    """The reply in a response in which any field may be missing, null, or of another type."""
    choices = getattr(found, "choices", None)
    first = choices[0] if isinstance(choices, list) and choices else None
    message = getattr(first, "message", None)
    content = getattr(message, "content", None)
    text, thought = _texts(content)
    apart = (getattr(message, name, None) for name in ("reasoning_content", "reasoning"))
    reasoning = thought + next((said for said in apart if isinstance(said, str)), "")
    refusal = getattr(message, "refusal", None)
    refusal = refusal if isinstance(refusal, str) else ""
    usage, finish = getattr(found, "usage", None), getattr(first, "finish_reason", None)
    finish = finish if isinstance(finish, str) else "stop"
    nothing = content is None and not (reasoning or refusal or finish == "content_filter")
    if message is None or nothing or not isinstance(content, str | list | None):
        error = getattr(found, "error", None)
        return Reply(error=f"the server's answer has no text: {error or found}"[:2000])
    read, written = (_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens"))
    return Reply(text, reasoning, refusal, read, written, finish)


def _texts(content: Any) -> tuple[str, str]:
    """The answer and the reasoning in a text or a list of parts."""
    if isinstance(content, str):
        return content, ""
    said, thought = [], []
    for part in content if isinstance(content, list) else ():
        kind = part.get("type", "text") if isinstance(part, dict) else "text"
        inside = part if isinstance(part, str) else part.get(kind, part.get("text")) if isinstance(part, dict) else ""
        words = inside if isinstance(inside, str) else "".join(_texts(inside))
        (said if kind in SAID else thought if kind in THOUGHT else []).append(words)
    return "".join(said), "".join(thought)


def _count(tokens: Any) -> int:
    """Number of tokens in a server's response; 0 if absent."""
    return int(tokens) if isinstance(tokens, int | float) and 0 <= tokens < 1e12 else 0
