"""Captions: the strip of key frames, what an answer depends on, and servers in every mood."""

import base64
import json
import re

import numpy as np
import pytest
from moody import Moody, serving

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import ErrorRecord, RecipeError, SpecError
from taskprompt.core.types import Clip, Sample
from taskprompt.labelers._engines.client import Pace
from taskprompt.labelers.vlm_caption import VlmCaption, strip
from taskprompt.labels import table as label_table
from taskprompt.recipe.files import validate
from taskprompt.runtime.labeling.actor import LabelActor
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
        ("slow", "no answer within 1 s, 3 times", 3),
        ("drips", "no answer within 1 s, 3 times", 3),
        ("thinks only", "reasoning of 2 characters without an answer after it within max_tokens", 1),
        ("filtered", "stopped by the server's content filter: 'A man'", 1),
        ("refuses", "refused: I cannot.", 1),
    ],
)
def test_what_fails_is_an_error_of_its_row(url, model, error, times):
    spec = labeler(url, model, timeout=1.0 if model in ("slow", "drips") else 5.0)
    found = spec.build()(SAMPLES[:1], [["said"]])[0]["said"]
    assert found.value is None
    assert re.match(error, found.error), found.error
    assert Moody.asked[model] == times


@pytest.mark.parametrize(
    ("model", "used"),
    [
        ("thinks", {"reasoning": 2}),
        ("thinks apart", {"reasoning": 2}),
        ("thinks, newly", {"reasoning": 2}),
        ("in parts", {"reasoning": 2}),
        ("counts nothing", {"tokens": 0, "written": 0}),
        ("counts in words", {"tokens": 0}),
        ("no usage", {"tokens": 0}),
    ],
)
def test_answers_of_any_shape(url, model, used):
    found = labeler(url, model).build()(SAMPLES[:1], [["said"]])[0]["said"]
    assert (found.value, found.error) == ("A man runs.", "")
    assert (found.used or {}).items() >= used.items()


def test_parameters_take_the_place_of_ours(url):
    parameters = {
        "max_completion_tokens": 50,
        "temperature": None,
        "extra_body": {"top_k": 3},
        "reasoning_effort": "low",
    }
    spec = labeler(url, "new", parameters=parameters)
    assert errors(spec) == {""}
    body = Moody.last["body"]
    assert {"max_tokens", "temperature", "extra_body"}.isdisjoint(body)
    assert (body["max_completion_tokens"], body["top_k"], body["reasoning_effort"], body["top_p"]) == (
        50,
        3,
        "low",
        1.0,
    )
    assert spec.questions() != labeler(url, "new").questions()
    for name in ("model", "messages", "stream"):
        with pytest.raises(ValueError, match=f"'{name}' cannot be set here"):
            labeler(url, parameters={"extra_body": {name: 1}})


@pytest.mark.parametrize(
    ("model", "said", "most"),
    [
        ("new", "'max_tokens'.*parameters", 1),
        ("empty purse", "HTTP 429.*The quota is exhausted", 1),
        ("moved", "HTTP 301.*give the target address as `url`", 1),
        ("picky", "HTTP 400: .*no pixels.* It also refuses a plain grey image", 3),
    ],
)
def test_what_every_request_would_meet_ends_the_job_early(url, model, said, most):
    with pytest.raises(SpecError, match=said):
        errors(labeler(url, model))
    assert Moody.asked[model] <= most


def test_bad_clips_at_the_begin_do_not_end_the_job(url):
    found = labeler(url, "first is bad", at_once=1).build()(SAMPLES, [["said"]] * 3)
    assert [bool(answers["said"].error) for answers in found] == [True, True, False]


def test_a_clip_that_breaks_the_connection_costs_itself(url):
    found = labeler(url, "poisoned", retries=1, at_once=1).build()(SAMPLES, [["said"]] * 3)
    assert [answers["said"].error[:20] for answers in found] == ["", "the connection broke", ""]


def test_each_answer_is_written_when_it_is_there(url, tmp_path):
    """The server dies behind two answers: they are in the table, and in one file."""
    spec = labeler(url, "dies", retries=0, at_once=1).model_copy(update={"table": str(tmp_path)})
    batch = [
        {
            "key": sample.key,
            "frames": sample.clip.video.tobytes(),
            "shape": list(sample.clip.video.shape),
            "times": sample.clip.times.tolist(),
            "labels": "{}",
            "asked": json.dumps({"said": sample.key, "seen": sample.key}),
            "error": "",
            "stop": "",
        }
        for sample in SAMPLES
    ]
    columns = {name: np.array([*(row[name] for row in batch), None], object)[:-1] for name in batch[0]}
    ended = LabelActor(spec, spec.questions())(columns)
    assert "no connection, 1 times" in str(ErrorRecord.loads(str(ended["stop"][0])).raised())
    rows = label_table.read(tmp_path).to_pylist()
    assert [(row["key"], row["label"]) for row in rows if not row["error"]] == [("0", "said"), ("0", "seen")]
    assert len(label_table.files(tmp_path)) == 1


def test_secrets_of_an_address_stay_in_the_environment(url, monkeypatch):
    for address in (
        "http://user:pa55word@host/v1",
        "https://host/v1?api_key=pa55word",
        "https://host/v1?subscription-Key=pa55word",
        "https://host/sk1234567890pa55wordabcdef/v1",
    ):
        with pytest.raises(RecipeError, match="url: env:CAPTION_URL") as refused:
            validate(labeler().model_dump(mode="json") | {"server": {"model": "m", "url": address}}, "r", VlmCaption)
        assert "pa55word" not in str(refused.value)
    server = {"model": "m", "url": url, "key": "sk-pa55word"}
    with pytest.raises(RecipeError, match="expected NAME of an environment variable") as refused:
        validate(labeler().model_dump(mode="json") | {"server": server}, "r", VlmCaption)
    assert "pa55word" not in str(refused.value)
    monkeypatch.setenv("CAPTION_URL", url.replace("http://", "http://user:pa55word@") + "?token=s3cr3t")
    assert errors(labeler("env:CAPTION_URL")) == {""}
    assert Moody.last["path"].endswith("/chat/completions?token=s3cr3t")
    assert Moody.last["key"] == "Basic " + base64.b64encode(b"user:pa55word").decode()
    said = errors(labeler("env:CAPTION_URL", "broken")) | {str(labeler("env:CAPTION_URL").model_dump())}
    monkeypatch.setenv("CAPTION_URL", "http://user:pa55word@127.0.0.1:9/v1?token=s3cr3t")
    with pytest.raises(SpecError, match="no connection") as none:
        errors(labeler("env:CAPTION_URL", retries=0))
    for text in (*said, str(none.value)):
        assert "pa55word" not in text
        assert "s3cr3t" not in text
    with pytest.raises(SpecError, match="the environment has no 'ABSENT'"):
        labeler("env:ABSENT").build()


def test_a_key_that_a_server_repeats_is_hidden(url, monkeypatch):
    monkeypatch.setenv("CAPTION_KEY", "sk-very/secret+indeed-0123456789")
    monkeypatch.setenv("CAPTION_URL", f"{url}?sig=very/secret")
    found = labeler("env:CAPTION_URL", "telltale", key="CAPTION_KEY").build()(SAMPLES[:1], [["said"]])[0]["said"]
    assert "bad key ***" in found.error
    assert "ery" not in found.error.split("bad key")[1]


def test_what_would_fail_always_ends_the_job(url, monkeypatch):
    monkeypatch.setenv("CAPTION_KEY", "sk-very-secret")
    with pytest.raises(SpecError, match=r"HTTP 401: .*no such key: Bearer \*\*\*") as locked:
        errors(labeler(url, "locked", key="CAPTION_KEY"))
    assert "secret" not in str(locked.value)
    assert Moody.last["key"] == "Bearer sk-very-secret"
    with pytest.raises(SpecError, match="model 'unknown': HTTP 404"):
        errors(labeler(url, "unknown"))
    with pytest.raises(SpecError, match=r"127.0.0.1:9/v1: no connection, 1 times: .*[^.]\. Start the server"):
        errors(labeler(retries=0))
    with pytest.raises(SpecError, match="the environment has no 'ABSENT'"):
        labeler(url, key="ABSENT").build()


def test_no_more_requests_a_minute_than_allowed():
    pace = Pace(per_minute=1200)
    assert [pace.turn() for _ in range(5)] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2], abs=0.02)
    assert max(Pace(None).turn() for _ in range(1000)) < 0.001
