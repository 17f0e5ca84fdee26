"""What a model wrote -> an answer: reasoning, marks and filters, JSON and its schema."""

import re

import pytest

from taskprompt.core.errors import SpecError
from taskprompt.labelers._answers import answer_of, check_schema
from taskprompt.labelers._engines.base import Reply
from taskprompt.labelers._reasoning import split

SCHEMA = {"type": "object", "properties": {"people": {"type": "integer"}}, "required": ["people"]}
SAID = "A man runs."


@pytest.mark.parametrize(
    ("text", "thought"),
    [
        (SAID, ""),
        (f"<think>\nhm\n</think>\n\n{SAID}", "hm"),
        (f"Okay, hm\n</think>\n\n{SAID}", "Okay, hm"),  # the template of the prompt opened it
        (f"<think></think>{SAID}", ""),
        (f"<Thinking>a</Thinking> <think>b</think>{SAID}", "a b"),
        (f"<think>a <think>b</think> c</think>{SAID}", "a <think>b c"),
        (f"\u25c1think\u25b7hm\u25c1/think\u25b7{SAID}", "hm"),
        (f"[THINK]hm[/THINK]{SAID}", "hm"),
        (f"<|channel>thought\nhm<channel|>{SAID}", "hm"),
        (f"<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>{SAID}", "hm"),
        (f"<|channel|>analysis<|message|>a<|end|><|channel|>commentary<|message|>b<|end|><|channel|>final<|message|>{SAID}",
         "a b"),
        (f"<|channel|>final<|message|>{SAID}<|return|>", ""),
        (f"analysisThe user wants a caption.assistantfinal{SAID}", "The user wants a caption."),
        (f"{SAID}<|im_end|>\n<|endoftext|>Human: next", ""),
        (f"<|im_start|>assistant\n{SAID}</s>", ""),
        (f"<think>hm</think><answer>{SAID}</answer>", "hm"),
        (f"<|begin_of_box|>{SAID}<|end_of_box|>", ""),
    ],
)  # fmt: skip
def test_reasoning_and_marks_are_taken_off(text, thought):
    assert split(text)[0] == thought
    found = answer_of(Reply(text, read=10, written=5), None)
    assert (found.value, found.error) == (SAID, "")
    assert found.used == {"tokens": 15, "written": 5, "truncated": False} | (
        {"reasoning": len(thought)} if thought else {}
    )


@pytest.mark.parametrize(
    "reply",
    [
        Reply("<think>The user wants", finish="length"),
        Reply("<|channel|>analysis<|message|>The user wants", finish="length"),
        Reply("analysisThe user wants a caption", finish="length"),
        Reply("", reasoning="The user wants", finish="length"),
        Reply("  ", reasoning="A man runs."),
    ],
)
def test_reasoning_without_an_answer_is_none(reply):
    found = answer_of(reply, None)
    assert found.value is None
    assert "reasoning of" in found.error
    assert ("Raise it" in found.error) is (reply.finish == "length")


@pytest.mark.parametrize(
    "text", ["analysis of the scene: finally a man walks", "A man <3 his dog", "I think </b> so", "1 < 2 > 0"]
)
def test_what_only_looks_like_marks_stays(text):
    assert answer_of(Reply(text), None).value == text


@pytest.mark.parametrize(
    ("reply", "value", "error", "used"),
    [
        (Reply("The man in", finish="content_filter"), None, "content filter: 'The man in'", {"filtered": True}),
        (Reply("", finish="SAFETY"), None, "content filter", {"filtered": True, "truncated": True}),
        (Reply("", refusal="I cannot."), None, "refused: I cannot.", {}),
        (Reply("A man", finish="abort"), None, r"the engine ended it \(abort\)", {}),
        (Reply("A man walks to", finish="length"), "A man walks to", "", {"truncated": True}),
        (Reply("A man", finish="max_tokens"), "A man", "", {"truncated": True}),
        (Reply(""), "", "", {}),
        (Reply("a man \ud83c"), "a man \ufffd", "", {}),
        (Reply("\ud83c\udfc3 runs\n\tnow\x00!"), "\U0001f3c3 runs now !", "", {}),
        (Reply(error="HTTP 400: \udcff"), None, "HTTP 400: \ufffd", {}),
    ],
)
def test_why_it_ended(reply, value, error, used):
    found = answer_of(reply, None)
    assert found.value == value
    assert re.search(error, found.error) if error else found.error == ""
    assert (found.used or {}).items() >= used.items()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"people": 3}', {"people": 3}),
        ('\n```json\n{"people": 3}\n```\n', {"people": 3}),
        ('<think>{"people": 9}</think>{"people": 3}<|im_end|>', {"people": 3}),
        ('{"people": 3, "who": "a  b\\n <think>c</think>"}', {"people": 3, "who": "a  b\n <think>c</think>"}),
        ('{"people": 3, "who": "\\ud83c"}', {"people": 3, "who": "\ufffd"}),
    ],
)
def test_json_that_follows_its_schema(text, value):
    assert answer_of(Reply(text), SCHEMA).value == value


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"persons": "three"}', "does not follow its JSON schema: 'people' is a required property"),
        ('{"people": "three"}', r"does not follow its JSON schema at \['people'\]: 'three' is not of type 'integer'"),
        ("3", "3 is not of type 'object'"),
        ('{"people": NaN}', "not JSON"),
        ('{"people": 1e999}', "not JSON"),
        ('{"people": ' + "1" * 5000 + "}", "not JSON"),
        ("[" * 5000, "not JSON"),
        ('Here it is: {"people": 3}', "not JSON"),
        ("", "not JSON"),
    ],
)
def test_json_that_does_not(text, error):
    found = answer_of(Reply(text), SCHEMA)
    assert found.value is None
    assert re.search(error, found.error), found.error


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "objct"}, "is not a JSON schema"),
        ({"pattern": "("}, "is not a JSON schema"),
        (
            {"properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}},
            "expected a reference within itself",
        ),  # never fetched
        ({"$ref": "#/$defs/none"}, "expected a reference within itself"),
    ],
)
def test_schemas_that_are_none(schema, said):
    with pytest.raises(SpecError, match=said):
        check_schema(schema)


def test_a_schema_may_refer_to_itself():
    schema = {"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}}
    check_schema(schema)
    assert answer_of(Reply("[1, 2]"), schema).value == [1, 2]
    assert "'x' is not of type 'integer'" in answer_of(Reply('[1, "x"]'), schema).error
