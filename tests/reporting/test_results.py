"""What verbs return: plain data with attributes, and tables that hold whatever the names are."""

import copy
import json
import pickle
from typing import Any

import pytest

import taskprompt as tp
from taskprompt.core.metrics import NOTHING
from taskprompt.reporting.results import Comparison, Evaluation, Labelling, Prediction

EVIL = "<script>alert(1)</script>\x1b[31m&'\"\n| x"
FOUND = {
    "checkpoint": "step-00000002",
    "test_clips": 1,
    "sources": {
        "real": {
            "rows": 5,
            "skipped": {"a": "a: is empty."},
            "tasks": {
                "action": {
                    "kind": "Action",
                    "clips": 4,
                    "metrics": {"top1": 0.75},
                    "interval": {"top1": [0.3, 0.95]},
                    "trivial": {"top1": 0.25},
                    "trivial_name": "majority class",
                    "measures": {"top1": {"unit": "%", "better": "max", "over": "clip", "title": "top-1"}},
                },
                "depth": {"kind": "Depth", "clips": 0},
            },
        }
    },
}
SEEN = {
    "clip": "clip.mp4",
    "run": "runs/a",
    "checkpoint": "step-00000002",
    "test_clips": 1,
    "times": [0.5, 1.25],
    "answers": {"action": [{"label": "walk", "confidence": 0.9}, {"label": "run", "confidence": 0.1}], "caption": "ü"},
    "files": {"json": "clip.taskprompt.json", "depth": "clip.depth.mp4"},
    "left_out": {},
}
COUNTS = {"captions": {"clips": 3, "made": 2, "failed": 1, "caption: empty": 1}}
FIELDS = {
    *FOUND,
    *SEEN,
    "rows",
    "tasks",
    "kind",
    "clips",
    "metrics",
    "interval",
    "trivial",
    "measures",
    *("unit", "better", "over", "title"),
    "label",
    "confidence",
}
WORDS = {"max", "clip"}  # of a metric: no others are read from a file
RESULTS = [Evaluation.of(FOUND), Prediction(SEEN), Labelling.of(COUNTS)]


def test_attributes_and_keys_are_the_same():
    found = Evaluation.of(FOUND)
    assert found.sources["real"].tasks["action"].metrics["top1"] == 0.75
    assert found["sources"]["real"]["tasks"]["action"]["interval"]["top1"] == [0.3, 0.95]
    depth = found.sources["real"].tasks["depth"]
    assert (depth.clips, depth.metrics, depth.interval, depth.trivial) == (0, {}, {}, {})
    assert (RESULTS[1].answers["caption"], RESULTS[1]["files"]["json"]) == ("ü", "clip.taskprompt.json")
    captions = RESULTS[2]["captions"]
    assert (captions.made, captions.there, captions.get("caption: empty")) == (2, 0, 1)


@pytest.mark.parametrize("result", RESULTS, ids=lambda r: type(r).__name__)
def test_results_are_plain_data(result):
    assert isinstance(result, dict)
    assert json.loads(json.dumps(result)) == result
    for twin in (pickle.loads(pickle.dumps(result)), copy.copy(result), copy.deepcopy(result)):
        assert twin == result
        assert type(twin) is type(result)
        assert [type(v) for v in twin.values()] == [type(v) for v in result.values()]
    assert {*result, "items"} <= set(dir(result))
    with pytest.raises(AttributeError):
        setattr(result, "anything", 1)  # noqa: B010


def test_a_wrong_attribute_names_the_nearest():
    with pytest.raises(AttributeError, match=r"Evaluation has no 'source'. Did you mean 'sources'\? Known: checkpoint"):
        _ = RESULTS[0].source


def test_tables_for_a_prompt():
    assert repr(RESULTS[0]).splitlines() == [
        "Evaluation of step-00000002",
        "source  task    clips  metric   value   95 % interval   trivial",
        "real    action  4      top-1 ↑  75.0 %  30.0 to 95.0 %  25.0 % (majority class)",
    ]
    assert repr(RESULTS[1]).splitlines() == [
        "Prediction of clip.mp4, 0.50 to 1.25 s, by step-00000002",
        "task     answer               file",
        "action   walk 0.90, run 0.10",
        "caption  ü",
        "depth                         clip.depth.mp4",
    ]
    assert repr(RESULTS[0].sources["real"].tasks["depth"]).startswith("TaskResult({'kind': 'Depth', 'clips': 0,")


def renamed(node) -> Any:
    """The same result with hostile keys and texts everywhere."""
    if isinstance(node, dict):
        return {k if k in FIELDS else f"{k}{EVIL}": renamed(v) for k, v in node.items()}
    if isinstance(node, list):
        return [*map(renamed, node)]
    return f"{node}{EVIL}" if isinstance(node, str) and node not in WORDS else node


@pytest.mark.parametrize(
    "result",
    [
        Evaluation.of(renamed(FOUND)),
        Prediction(renamed(SEEN)),
        Labelling.of({EVIL: COUNTS["captions"] | {f"{EVIL}: x": 1}}),
    ],
    ids=lambda r: type(r).__name__,
)
def test_names_of_others_are_letters(result):
    html = result._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "\x1b" not in html + repr(result)
    tags = {part.split(">")[0].split(" ")[0].strip("/") for part in html.split("<")[1:]}
    assert tags <= {"div", "b", "table", "thead", "tbody", "tr", "th", "td"}


def test_a_comparison_is_a_table(comparison, tmp_path):
    found = Comparison.open(comparison.path)
    assert isinstance(found, tp.SweepRun)
    assert [e.recipe for e in found.entries()] == ["plain", "p_vit"]
    assert repr(found).splitlines() == [
        "Comparison by test/action/top1",
        "recipe  runs  top-1 (%) ↑  over plain   minutes per run",
        f"plain   3     32.0 ± 5.0   {NOTHING}            2.0",
        "p_vit   2     40.5 ± 6.4   +8.5 ± 19.1  2.0",
    ]
    assert '<td style="text-align: left">40.5 ± 6.4</td>' in found._repr_html_()
    (found.path / "journal.jsonl").unlink()
    (found.path / "sweep.yaml").write_text("{}")
    assert repr(found) == f"<Comparison {found.path}>"
    assert "<table>" in found._repr_html_()
