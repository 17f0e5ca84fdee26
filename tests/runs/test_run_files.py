"""The files of a run may hold anything: each reader refuses it in one line, or does without."""

import copy
import errno
import os
import shutil
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from squares import RECIPE

import taskprompt as tp
from taskprompt.core.files import parse_json, replacing, write
from taskprompt.evaluation.predict import write_picture
from taskprompt.recipe.files import validate
from taskprompt.runs.records import Evaluation, checked


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    data = copy.deepcopy(RECIPE) | {"save_every": 1, "stages": [{"steps": 2}], "evaluate_every": 1}
    data["held_out"]["test"]["clips"] = 2
    tp.fit(validate(data, "r", tp.Recipe), folder, cluster=None, watch=lambda r: None)
    return folder


LINES = {
    "not utf-8": b"\xe4\n",
    "not json": b'{"step": 1, "loss": {"a"}\n',
    "deep": b"[" * 5000 + b"\n",
    "a list": b"[]\n",
    "null": b"null\n",
    "a text for a number": b'{"step": 1, "loss": "x", "lr": "y", "text": 1, "source": 2, "clips": 3}\n',
    "a text for a step": b'{"step": "a"}\n',
    "true for a step": b'{"step": true, "loss": 1, "lr": 1}\n',
    "nothing for a step": b'{"loss": 1, "lr": 1, "key": 1}\n',
    "a huge number": b'{"step": 1' + b"0" * 5000 + b"}\n",
    "a large number": b'{"step": 1' + b"0" * 400 + b', "loss": 1, "lr": 1}\n',
    "zeros in the middle": b"\0\0\0\0\n",
}


@pytest.mark.parametrize("name", ["metrics.jsonl", "held_out.jsonl", "skipped.jsonl", "warnings.jsonl"])
@pytest.mark.parametrize("line", LINES)
def test_a_damaged_line_is_refused_by_its_number(trained, tmp_path, name, line):
    run = tp.Run(shutil.copytree(trained, tmp_path / "run"))
    with open(run.path / name, "ab") as file:
        before = file.tell()
        file.write(LINES[line])
    number = (run.path / name).read_bytes()[:before].count(b"\n") + 1
    with pytest.raises(tp.CheckpointError, match=rf"{name}: line {number} is damaged: .*\. Remove that line") as error:
        run.lines(name)
    assert "\n" not in str(error.value)
    files = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    again = pytest.raises(tp.CheckpointError, match=f"{name}: line {number} is damaged")
    stages = (run.recipe.stages[0].model_copy(update={"steps": 9}), *run.recipe.stages[1:])
    for recipe in (run.recipe, run.recipe.model_copy(update={"stages": stages})):
        with again, tp.Run.start(run.path, recipe, resume=True):
            pass
    assert all(path.read_bytes() == content for path, content in files.items())


@pytest.mark.parametrize("tail", [b'{"step": 3, "lo', b"\0\0\0", b"\xe4"])
def test_the_end_that_a_crash_cut_off_is_left_out(trained, tmp_path, tail):
    run = tp.Run(shutil.copytree(trained, tmp_path / "run"))
    whole = run.lines("metrics.jsonl")
    with open(run.path / "metrics.jsonl", "ab") as file:
        file.write(tail)
    assert run.lines("metrics.jsonl") == whole
    run.cut(1)
    assert run.lines("metrics.jsonl") == whole[:1]


@pytest.mark.parametrize(
    "text",
    [b'{"checkpoint": "ste', b"[]", b"[" * 5000, b'{"checkpoint": 1, "sources": {}}', b'{"sources": {}}', b"", b"\xff"],
)
def test_a_damaged_evaluation_is_none(text):
    with pytest.raises(ValueError, match=r"."):
        checked(text, Evaluation)


def test_a_damaged_evaluation_is_made_again_by_the_report(trained, tmp_path):
    run = tp.Run(shutil.copytree(trained, tmp_path / "run"))
    (run.path / "evaluation.json").write_text('{"checkpoint": "ste')
    tp.report(run)
    assert run.read("evaluation.json")["checkpoint"] == "step-00000002"


def test_a_link_is_never_written_through(trained, tmp_path):
    run, precious = tp.Run(shutil.copytree(trained, tmp_path / "run")), tmp_path / "precious"
    precious.write_text("precious")
    for name in ("report.html", "report.html.part", "evaluation.json"):
        (run.path / name).symlink_to(precious)
    tp.report(run)
    assert (run.path / "report.html").read_text().startswith("<!doctype html>")
    for name in (".lock", ".driver.lock", "log.txt"):
        (run.path / name).unlink(missing_ok=True)
        (run.path / name).symlink_to(precious)
        with pytest.raises(tp.WriteError, match="cannot be written"):
            tp.fit(grown(run.recipe), run.path, cluster=None, resume=True)
        (run.path / name).unlink()
    (run.path / "warnings.jsonl").unlink(missing_ok=True)
    (run.path / "warnings.jsonl").symlink_to(precious)
    with pytest.raises(tp.WriteError, match="cannot be written"):
        run.append("warnings.jsonl", {"step": 1, "text": ""})
    assert precious.read_text() == "precious"


def grown(recipe):
    return recipe.model_copy(update={"stages": (recipe.stages[0].model_copy(update={"steps": 4}),)})


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = write(tmp_path / "a.json", "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as draft:
        draft.write_text(f"half {1 / 0}")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(tp.WriteError, match=r"none/a\.json: cannot be written: No such file or directory"):
        write(tmp_path / "none" / "a.json", "new")
    assert parse_json(b'{"a": 1}') == {"a": 1}
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000)


FULL = """
import resource, signal, sys, traceback
import taskprompt as tp
from taskprompt.recipe.files import read, validate
folder, clip = sys.argv[1:]
data = read(folder + "/resume/recipe.yaml")
watch = lambda record: None
grown = validate(data | {"stages": [data["stages"][0] | {"steps": 4}]}, "r", tp.Recipe)
verbs = {
    "fit": lambda out: tp.fit(validate(data, "r", tp.Recipe), out + "/new", cluster=None, watch=watch),
    "resume": lambda out: tp.fit(grown, out, cluster=None, resume=True, watch=watch),
    "evaluate": lambda out: tp.evaluate(out, watch=watch),
    "report": lambda out: tp.report(out),
    "predict": lambda out: tp.predict(out, clip, out),
    "convert": lambda out: tp.convert(next(p for p in tp.Run.open(out).checkpoint().glob("model*")), data["backbone"],
                                      out + "/out.safetensors"),
}
tp.report(folder + "/warm")  # libraries make files of their own when they are first used
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # the kernel refuses every byte of a file, as a full disk does
for verb, call in verbs.items():
    try:
        call(folder + "/" + verb)
        print(verb, "came back")
    except tp.TaskPromptError as error:
        print(verb, error, *(getattr(error, "result", None) or ()))
    except BaseException as error:
        print(verb, "FOREIGN", repr(error))
"""


@pytest.mark.slow
def test_a_full_disk_costs_nothing_that_was_finished(trained, tmp_path):
    clip = write_picture(tmp_path / "clip", np.zeros((8, 32, 32, 3), np.uint8), Fraction(8))
    names, before = ("resume", "evaluate", "report", "predict", "convert"), {}
    for name in names:
        run = tp.Run(shutil.copytree(trained, tmp_path / name))
        run.write("evaluation.json", {"checkpoint": "an older one", "sources": {}})
        run.write("clip.taskprompt.json", "an older answer")
        before |= files(run.path)
    shutil.copytree(trained, tmp_path / "warm")
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    command = [sys.executable, "-c", FULL, str(tmp_path), str(clip)]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["fit", *names], done.stderr
    assert all("cannot be written" in line and os.strerror(errno.EFBIG) in line for line in lines), done.stdout
    assert lines[2].endswith("`out`. checkpoint test_clips sources")  # what was measured comes with the error
    assert "Traceback" not in done.stderr
    after = {p: data for name in names for p, data in files(tmp_path / name).items()}
    assert {p: after.get(p) for p in before} == before
    assert {p.name for p in after.keys() - before.keys()} <= {".lock", ".driver.lock", "log.txt"}


def files(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and "tfevents" not in p.name}
