"""Reply of an engine -> answer for the table: what is no answer is taken off, counted, or refused. All engines'."""

import json
import re
from typing import Any

from taskprompt.core.errors import SpecError
from taskprompt.core.labeler import Answer
from taskprompt.core.text import unicode
from taskprompt.labelers._engines.base import Reply
from taskprompt.labelers._reasoning import split

CUT = {"length", "max_tokens", "model_length", "max_output_tokens"}  # reasons to end, of OpenAI and of others
FILTERED = {"content_filter", "safety", "recitation", "prohibited_content", "blocklist", "spii", "image_safety"}
BROKEN = {"error", "abort", "aborted", "cancelled", "canceled", "malformed_function_call"}
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SHOWN = 100  # letters of what is no answer, in its error


def answer_of(reply: Reply, schema: dict[str, Any] | None) -> Answer:
    """Text in one line, or JSON that follows the schema; else why there is none."""
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
        # An empty answer is one: the model has nothing to say, and would not say more if it were asked again.
        return Answer(line(text), used=used)
    found = _json(unfenced(text))
    if found is None:
        return Answer(error=line(f"no JSON{' within max_tokens' if cut else ''}: {text[:SHOWN]!r}"), used=used)
    problem = mismatch(found[0], schema)
    return Answer(error=line(problem), used=used) if problem else Answer(found[0], used=used)


def _no_answer(reply: Reply, finish: str, text: str, reasoning: int, cut: bool, filtered: bool) -> str:
    """Why the reply is none; empty where it is one."""
    if filtered:
        return f"stopped by the server's content filter: {text[:SHOWN]!r}"
    if reply.refusal and not text:
        return f"refused: {reply.refusal[: 2 * SHOWN]}"
    if finish in BROKEN:
        return f"the engine ended it ({finish}): {text[:SHOWN]!r}"
    if reasoning and not text:
        advice = " within max_tokens. Raise it" if cut else ""
        return f"there is reasoning of {reasoning} letters and no answer behind it{advice}"
    return ""


def line(text: str) -> str:
    """One line of single spaces, without control characters, that UTF-8 can hold."""
    return " ".join(CONTROL.sub(" ", unicode(text)).split())


def unfenced(text: str) -> str:
    """The inside of a Markdown block that is all of the text."""
    if not (text.startswith("```") and text.endswith("```") and "\n" in text):
        return text
    return text.split("\n", 1)[1][:-3]


def _json(text: str) -> tuple[Any] | None:
    """The value in a text that is JSON to its last letter, in a tuple; None where it is not. NaN is no JSON."""
    try:
        value = json.loads(text)
        return (json.loads(unicode(json.dumps(value, allow_nan=False, ensure_ascii=False))),)
    except (ValueError, RecursionError):
        return None


def check_schema(schema: dict[str, Any]) -> None:
    """Raises SpecError where it is no JSON schema, or refers to another document."""
    from jsonschema.exceptions import SchemaError
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        kind = _validator(schema)
        kind.check_schema(schema)
    except (SchemaError, RecursionError) as error:
        why = getattr(error, "message", "it is nested too deeply")
        raise SpecError(f"json_schema is no JSON schema: {why[:200]}") from None
    whole = Registry().with_resource("", Resource(schema, DRAFT202012)).resolver()
    for place in _references(schema):
        try:
            if place.startswith("#"):  # what lies elsewhere is never fetched
                whole.lookup(place)
                continue
        except Unresolvable:
            pass
        raise SpecError(f"json_schema refers to {place!r}, expected a place in itself, such as '#/$defs/person'.")


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [v for k, v in node.items() if k in ("$ref", "$dynamicRef") and isinstance(v, str)]
        return own + [place for part in node.values() for place in _references(part)]
    return [place for part in node for place in _references(part)] if isinstance(node, list) else []


def mismatch(value: Any, schema: dict[str, Any]) -> str:
    """How a value does not follow a schema; empty where it does."""
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        problem = best_match(_validator(schema)(schema, registry=Registry()).iter_errors(value))
    except Unresolvable as error:
        raise SpecError(f"json_schema refers to {error.ref!r}, which it does not hold.") from None
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
