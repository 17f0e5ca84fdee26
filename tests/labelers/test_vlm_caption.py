"""Captions: the strip of key frames, what an answer depends on, and servers in every mood."""

import re

import numpy as np
import pytest
from moody import Moody, serving

from taskprompt.core.errors import SpecError
from taskprompt.core.source import ClipSpec
from taskprompt.core.types import Clip, Sample
from taskprompt.labelers._engines.client import Pace
from taskprompt.labelers.vlm_caption import VlmCaption, strip
from taskprompt.testing import check_labeler

SAMPLES = [Sample(str(i), Clip(np.full((2, 24, 32, 3), 40 * i, np.uint8), np.arange(2.0))) for i in range(3)]
WANTED = [["said", "seen"]] * 3


@pytest.fixture
def url():
    with serving() as address:
        yield address


def labeler(url="http://127.0.0.1:9/v1", model="good", **server) -> VlmCaption:
    prompts = {"said": "what is said?", "seen": {"text": "what is seen?", "max_tokens": 9}}
    engine = {"url": url, "model": model, "retries": 2, "timeout": 5.0} | server
    return VlmCaption.model_validate(
        {"table": "t", "keyframes": 2, "height": 16, "width": 16, "prompts": prompts, "server": engine}
    )


def errors(spec: VlmCaption) -> set[str]:
    return {answer.error for found in spec.build()(SAMPLES, WANTED) for answer in found.values()}


def test_key_frames_lie_side_by_side():
    video = np.zeros((3, 20, 40, 3), np.uint8)
    video[:, :, 10:30] = np.array([50, 100, 150], np.uint8)[:, None, None, None]  # the middle square; the rest is black
    picture = strip(video, 10, 10)
    assert picture.shape == (10, 30, 3)
    for i, grey in enumerate((50, 100, 150)):
        inner = picture[:, 10 * i + 1 : 10 * i + 9].astype(int)
        assert abs(inner - grey).max() <= 5


def test_key_frames_are_spread_over_the_whole_video():
    assert labeler().clip(ClipSpec(frames=16, fps=7.5)) == ClipSpec(frames=2, height=16, width=16, fps=None)


def test_the_four_questions_of_the_paper_are_the_defaults():
    spec = VlmCaption.model_validate({"table": "t", "vllm": {"model": "org/some-model", "revision": "abc"}})
    assert [q.label for q in spec.questions()] == [f"text_{n}" for n in ("category", "components", "detail", "context")]
    asked = spec.questions()[0].asked
    assert (asked["text"], asked["picture"]) == ("What is the action category?", [5, 224, 224])
    assert (asked["model"], asked["revision"]) == ("org/some-model", "abc")


def test_an_answer_depends_on_all_that_is_asked():
    first = labeler().questions()
    for change in (
        {"keyframes": 3},
        {"width": 32},
        {"sampling": {"temperature": 0.5}},
        {"server": {"model": "m", "url": "http://host/v1"}},
    ):
        changed = VlmCaption.model_validate(labeler().model_dump(exclude={"kind"}) | change).questions()
        assert all(a.asked != b.asked for a, b in zip(first, changed, strict=True)), change
    assert labeler(url="http://elsewhere/v1", timeout=1).questions() == first


def test_one_engine(tmp_path):
    with pytest.raises(ValueError, match="found neither of `vllm` and `server`"):
        VlmCaption(table="t")
    engines = {"vllm": {"model": "m"}, "server": {"model": "m", "url": "http://host/v1"}}
    with pytest.raises(ValueError, match="found both of `vllm` and `server`"):
        VlmCaption.model_validate({"table": "t", **engines})
    with pytest.raises(SpecError, match=r"no config.json in .* Give the folder of a transformers model"):
        VlmCaption.model_validate({"table": "t", "vllm": {"model": str(tmp_path)}}).questions()


def test_a_server_that_answers(url):
    spec = labeler(url)
    check_labeler(spec, SAMPLES)
    found = spec.build()(SAMPLES, WANTED)
    assert [a["said"].value for a in found] == ["WHAT IS SAID?"] * 3
    assert found[0]["seen"].used == {"tokens": 10, "written": 3, "truncated": False}
    spec.build()(SAMPLES[:1], [["seen"]])
    body = Moody.last["body"]
    assert Moody.last["path"] == "/v1/chat/completions"
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (9, 0.0, 0)
    assert body["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")


def test_only_what_is_asked_for_is_asked(url):
    found = labeler(url).build()(SAMPLES, [["seen"], [], ["said"]])
    assert [sorted(f) for f in found] == [["seen"], [], ["said"]]
    assert Moody.asked["good"] == 2


def test_a_busy_server_is_asked_again(url):
    assert errors(labeler(url, "busy twice", at_once=1)) == {""}
    assert Moody.asked["busy twice"] == 8


@pytest.mark.parametrize(
    ("model", "error", "times"),
    [
        ("always busy", "HTTP 429: .*slow down", 3),
        ("broken", "HTTP 500: .*out of memory", 3),
        ("picky", "HTTP 400: .*the image has no pixels", 1),
        ("html", "the server's answer has no text: <html>welcome</html>", 1),
        ("nothing", "the server's answer has no text", 1),
        ("slow", "no answer within 0.2 s, 3 times", 3),
    ],
)
def test_what_fails_is_an_error_of_its_row(url, model, error, times):
    spec = labeler(url, model, timeout=0.2 if model == "slow" else 5.0)
    found = spec.build()(SAMPLES[:1], [["said"]])[0]["said"]
    assert found.value is None
    assert re.match(error, found.error), found.error
    assert Moody.asked[model] == times


def test_what_would_fail_always_ends_the_job(url, monkeypatch):
    monkeypatch.setenv("CAPTION_KEY", "sk-very-secret")
    with pytest.raises(SpecError, match=r"HTTP 401: .*no such key: Bearer \*\*\*") as locked:
        errors(labeler(url, "locked", key="CAPTION_KEY"))
    assert "secret" not in str(locked.value)
    assert Moody.last["key"] == "Bearer sk-very-secret"
    with pytest.raises(SpecError, match="model 'unknown': HTTP 404"):
        errors(labeler(url, "unknown"))
    with pytest.raises(SpecError, match=r"127.0.0.1:9/v1: no connection, 1 times: .* Start the server"):
        errors(labeler(retries=0))
    with pytest.raises(SpecError, match="the environment has no 'ABSENT'"):
        labeler(url, key="ABSENT").build()


def test_no_more_requests_a_minute_than_allowed():
    pace = Pace(per_minute=1200)
    assert [pace.turn() for _ in range(5)] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2], abs=0.02)
    assert max(Pace(None).turn() for _ in range(1000)) < 0.001
