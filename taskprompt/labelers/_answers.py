"""Reply of an engine -> answer for the table, for all engines: reasoning is removed, invalid replies become errors."""

import json
import re
from typing import Any

from taskprompt.core.errors import SpecError
from taskprompt.core.labeler import Answer
from taskprompt.core.text import unicode
from taskprompt.labelers._engines.base import Reply
from taskprompt.labelers._reasoning import split

CUT = {"length", "max_tokens", "model_length", "max_output_tokens"}  # finish reasons of OpenAI and others
FILTERED = {"content_filter", "safety", "recitation", "prohibited_content", "blocklist", "spii", "image_safety"}
BROKEN = {"error", "abort", "aborted", "cancelled", "canceled", "malformed_function_call"}
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SHOWN = 100  # characters of an invalid reply to quote in its error


def answer_of(reply: Reply, schema: dict[str, Any] | None) -> Answer:
    """Text in one line, or JSON that follows the schema; else the error."""
    finish = reply.finish.lower()
    cut, filtered = finish in CUT, finish in FILTERED
    thought, text = split(reply.text) if schema is None or _json(reply.text) is None else ("", reply.text)
    reasoning = len(thought) + len(reply.reasoning.strip())
    used: dict[str, Any] = {
        "tokens": reply.read + reply.written,
        "written": reply.written,
        "truncated": cut or filtered,
    }
    used |= {"reasoning": reasoning} if reasoning else {}
    used |= {"filtered": True} if filtered else {}
    text = text.strip()
    why = reply.error or _no_answer(reply, finish, text, reasoning, cut, filtered)
    if why:
        return Answer(error=line(why), used=used)
    if schema is None:
        # An empty answer is valid: asking the model again would give the same.
        return Answer(line(text), used=used)
    found = _json(unfenced(text))
    if found is None:
        return Answer(error=line(f"not JSON{' within max_tokens' if cut else ''}: {text[:SHOWN]!r}"), used=used)
    problem = mismatch(found[0], schema)
    return Answer(error=line(problem), used=used) if problem else Answer(found[0], used=used)


def _no_answer(reply: Reply, finish: str, text: str, reasoning: int, cut: bool, filtered: bool) -> str:
    """Why the reply has no valid answer; empty if it has."""
    if filtered:
        return f"stopped by the server's content filter: {text[:SHOWN]!r}"
    if reply.refusal and not text:
        return f"refused: {reply.refusal[: 2 * SHOWN]}"
    if finish in BROKEN:
        return f"the engine ended it ({finish}): {text[:SHOWN]!r}"
    if reasoning and not text:
        advice = " within max_tokens. Raise it" if cut else ""
        return f"reasoning of {reasoning} characters without an answer after it{advice}"
    return ""


def line(text: str) -> str:
    """One line with single spaces, without control characters, valid in UTF-8."""
    return " ".join(CONTROL.sub(" ", unicode(text)).split())


def unfenced(text: str) -> str:
    """The text without an enclosing Markdown code fence."""
    if not (text.startswith("```") and text.endswith("```") and "\n" in text):
        return text
    return text.split("\n", 1)[1][:-3]


def _json(text: str) -> tuple[Any] | None:
    """The value of a text that is valid JSON, in a tuple; None if it is not. NaN is not JSON."""
    try:
        value = json.loads(text)
        return (json.loads(unicode(json.dumps(value, allow_nan=False, ensure_ascii=False))),)
    except (ValueError, RecursionError):
        return None


def check_schema(schema: dict[str, Any]) -> None:
    """Raises SpecError if it is not a JSON schema, or refers to another document."""
    from jsonschema.exceptions import SchemaError
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        kind = _validator(schema)
        kind.check_schema(schema)
    except (SchemaError, RecursionError) as error:
        why = getattr(error, "message", "it is nested too deeply")
        raise SpecError(f"json_schema is not a JSON schema: {why[:200]}") from None
    whole = Registry().with_resource("", Resource(schema, DRAFT202012)).resolver()
    for place in _references(schema):
        try:
            if place.startswith("#"):  # nothing is fetched
                whole.lookup(place)
                continue
        except Unresolvable:
            pass
        raise SpecError(
            f"json_schema refers to {place!r}, expected a reference within itself, such as '#/$defs/person'."
        )


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [v for k, v in node.items() if k in ("$ref", "$dynamicRef") and isinstance(v, str)]
        return own + [place for part in node.values() for place in _references(part)]
    return [place for part in node for place in _references(part)] if isinstance(node, list) else []


def mismatch(value: Any, schema: dict[str, Any]) -> str:
    """How a value violates a schema; empty if it does not."""
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        problem = best_match(_validator(schema)(schema, registry=Registry()).iter_errors(value))
    except Unresolvable as error:
        raise SpecError(f"json_schema refers to {error.ref!r}, which it does not define.") from None
    except RecursionError:
        return "does not follow its JSON schema: it is nested too deeply"
    if problem is None:
        return ""
    where = "".join(f"[{part!r}]" for part in problem.absolute_path)
    return f"does not follow its JSON schema{' at ' + where if where else ''}: {problem.message[:200]}"


def _validator(schema: dict[str, Any]) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    return validator_for(schema, default=Draft202012Validator)
