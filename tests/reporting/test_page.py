"""The page: whole, self-contained, and true to what the run holds or lacks."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import taskprompt as tp
from taskprompt.core.metrics import NOTHING
from taskprompt.recipe.files import validate

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Text, addresses, and whether every element is closed."""

    def __init__(self, path: Path):
        super().__init__()
        self.open, self.addresses, self.text = [], [], ""
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(self.text.replace("\u00a0", " ").split())

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v]

    def handle_startendtag(self, tag, attrs):
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data + " "


def trained(data, out, steps=4) -> tp.Run:
    data["stages"] = [{"steps": steps, "lr": 1e-3}]
    return tp.fit(validate(data, "r", tp.Recipe), out, cluster=None, watch=lambda record: None)


def page(run) -> Page:
    path = tp.report(run)
    assert path == run.page
    found = Page(path)
    assert found.open == []
    assert all(a.startswith(("data:", "#")) for a in found.addresses)  # nothing is fetched from anywhere
    return found


def test_a_run_is_measured_drawn_and_told(squares, tmp_path):
    squares["evaluate_every"] = 2
    squares["sources"]["rendered"]["broken"] = [3]
    squares["tasks"]["bright"] = {"kind": "brightness:Brightness"}
    squares["max_skipped"] = 0.2
    run = trained(squares, tmp_path / "run <1>", steps=6)
    found = page(run)
    result = json.loads((run.path / "evaluation.json").read_text())  # the page had it measured
    top1 = result["sources"]["test"]["tasks"]["action"]["metrics"]["top1"]
    assert f"top-1 ↑ {100 * top1:.1f} %" in found.text
    assert "against the mean depth map" in found.text
    assert "run <1>" in found.text
    assert "3 tasks (action, depth, bright) from 2 sources (4 labelled, 2 rendered)" in found.text
    assert "6 steps of 6 clips took" in found.text
    assert "rendered 1 squares/3: the file is empty. Record it again." in found.text
    assert re.search(r"gap \d\.\d+ ", found.text)  # a metric of unknown direction: no arrow behind its name
    assert f"nothing {NOTHING} " in found.text
    assert "bright: " in found.text  # its curves
    pictures = [a for a in found.addresses if a.startswith("data:image/png;base64,")]
    assert len(pictures) == 3
    assert "kind: squares:Squares" in found.text


def test_a_task_that_no_stage_trains_is_neither_measured_nor_shown(squares, tmp_path):
    squares["stages"] = [{"steps": 2, "sources": ["labelled"]}]
    run = tp.fit(
        validate(squares | {"evaluate_every": 1}, "r", tp.Recipe),
        tmp_path / "run",
        cluster=None,
        watch=lambda event: None,
    )
    assert {key.split("/")[1] for line in run.lines("held_out.jsonl") for key in line if "/" in key} == {"action"}
    found = page(run)
    assert json.loads((run.path / "evaluation.json").read_text())["sources"]["test"]["tasks"].keys() == {"action"}
    assert "1 task (action) from 1 source (4 labelled)" in found.text
    assert "depth: predicted" not in found.text


def test_a_run_without_held_out_clips_says_so(squares, tmp_path):
    del squares["held_out"]
    found = page(trained(squares, tmp_path / "run"))
    assert "has no held-out sources" in found.text
    assert "Results" not in found.text
    assert "Training curves" in found.text


def test_a_run_that_was_cut_off_before_its_first_checkpoint_still_has_curves(squares, tmp_path):
    with tp.Run.start(tmp_path / "run", validate(squares, "r", tp.Recipe)) as run:
        pass
    assert "It has no training step yet." in page(run).text
    run.append("metrics.jsonl", {"step": 1, "loss": 1.0, "loss/action": 1.0, "lr": 0.1, "clips_per_s": 2.0})
    found = page(run)
    assert "no checkpoint yet" in found.text
    assert "1 of 6 steps" in found.text


def test_an_evaluation_of_older_weights_is_made_again(squares, tmp_path):
    run = trained(squares, tmp_path / "run")
    run.write("evaluation.json", {"checkpoint": "step-00000001", "sources": {}})
    page(run)
    assert run.read("evaluation.json")["checkpoint"] == "step-00000004"


def test_a_held_out_source_that_is_gone_is_named(squares, tmp_path):
    run = trained(squares, tmp_path / "run")
    text = (run.path / "recipe.yaml").read_text()
    (run.path / "recipe.yaml").write_text(text.replace("clips: 6", "clips: 0"))
    assert "source 'test' lists no clips" in page(run).text
