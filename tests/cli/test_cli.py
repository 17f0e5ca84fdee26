"""The command line: what it prints, and that a mistake is one clear line, exit status 2, and no traceback."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch
import yaml

import taskprompt as tp
from taskprompt.backbones.tiny import Tiny
from taskprompt.cli.convert import convert
from taskprompt.cli.main import main
from taskprompt.core.clip import ClipSpec
from taskprompt.core.spec import kinds
from taskprompt.recipe.schema import interfaces
from taskprompt.recipe.weights import Inflate

QUICKSTART = str(Path(__file__).parents[2] / "recipes" / "quickstart.yaml")
VERBS = [[verb] for verb in ("check", "fit", "tune", "compare", "evaluate", "label", "submit", "job")]
VERBS += [["job", "logs"], ["bench", "data"]]


@pytest.fixture
def taskprompt(monkeypatch, capsys):
    """Run the command in this process: arguments -> exit status, output, errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["taskprompt", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_check_prints_the_resolved_recipe(taskprompt, tmp_path):
    changes = ["stages.0={steps: 7, warmup: 7}", "tasks.depth.far=4.5"]
    status, out, err = taskprompt("check", QUICKSTART, *changes, "--full")
    assert (status, err) == (0, "")
    found = yaml.safe_load(out)
    assert found["stages"][0]["steps"] == 7
    assert found["tasks"]["depth"]["far"] == 4.5
    assert found["stages"][0]["optimizer"] == "adamw"  # a default, written out
    (tmp_path / "again.yaml").write_text(out)
    status, again, err = taskprompt("check", str(tmp_path / "again.yaml"), "--full")
    assert (status, err) == (0, "")
    assert yaml.safe_load(again) == found


def test_check_says_ok_and_ten_lines(taskprompt):
    status, out, err = taskprompt("check", QUICKSTART)
    assert (status, err) == (0, "")
    first, *summary = out.splitlines()
    assert first == f"ok: {QUICKSTART}"
    assert [line.split("  ")[1].strip() for line in summary] == [
        *("clip", "sources", "held out", "backbone", "weights", "prompter", "tasks", "stages", "evaluated", "runtime")
    ]
    assert "tiny, 0.9 M parameters, mean [0.45, 0.45, 0.45], std [1, 1, 1], the default of tiny" in out


def test_a_checkpoint_is_converted_and_checked(taskprompt, tmp_path, monkeypatch):
    """The report, as words and as json; `check` prints what `weights` would give behind the recipe."""
    monkeypatch.chdir(tmp_path)
    encoder = Tiny(patch=(2, 8, 8), dim=32, depth=2).build(ClipSpec(frames=4, height=32, width=32))
    torch.save({"state_dict": encoder.state_dict() | {"head.weight": torch.ones(3, 32)}}, "a.pth")
    options = ["--to", "tiny", "dim=32", "depth=2"]
    status, out, err = taskprompt("convert", "a.pth", *options)
    assert (status, err) == (0, "")
    matched = f"matched    {len(encoder.state_dict())} of {len(encoder.state_dict())} tensors"
    assert out.splitlines()[0] == "a.pth: layout taskprompt, for tiny"
    assert out.splitlines()[1].strip() == matched
    pixels = "  pixels     mean [0.45, 0.45, 0.45], std [1, 1, 1], "
    default = "the default of tiny"
    assert out.splitlines()[-3:] == ["  head       3 classes, kept", pixels + default, "wrote a.safetensors"]
    found = taskprompt("convert", "a.pth", *options, "--clip", "8,64,64", "--out", "b.safetensors", "--json")[1]
    assert json.loads(found)["resized"] == {"time": [[2, 32], [4, 32]], "place": [[4, 4, 32], [8, 8, 32]]}
    weights = ["backbone={kind: tiny, dim: 32, depth: 2}", "weights={path: a.safetensors}"]
    told = f"{pixels}as the file, which `convert` wrote, says"
    assert taskprompt("check", QUICKSTART, *weights)[1].splitlines()[-2:] == [
        "  head       3 classes, not loaded",
        told,
    ]
    status, out, err = taskprompt("check", QUICKSTART, *weights, "--full")
    assert (status, err) == (0, "")
    assert yaml.safe_load(out)["weights"] == {
        "path": "a.safetensors",
        "parts": None,
        "entry": None,
        "head": None,
        "inflate": "centre",
    }
    assert out.splitlines()[-2:] == ["#   head       3 classes, not loaded", f"# {told}"]
    assert f"#   {matched}" in out.splitlines()


def test_kinds_lists_them_all(taskprompt):
    status, out, _ = taskprompt("kinds")
    lines = [line.split(maxsplit=2) for line in out.splitlines()[1:]]
    assert status == 0
    assert [(a, b) for a, b, _ in lines] == [(i.__name__.lower(), k) for i in interfaces() for k in kinds(i)]


def test_schema_holds_every_kind(taskprompt, tmp_path):
    file = tmp_path / "schema.json"
    assert taskprompt("schema", str(file))[0] == 0
    schema = json.loads(file.read_text())
    named = [o["properties"]["kind"]["const"] for o in options(schema) if "const" in o["properties"]["kind"]]
    assert set(named) == {k for i in interfaces() for k in kinds(i)}
    assert json.loads(taskprompt("schema")[1]) == schema


def test_schema_accepts_the_quickstart_and_refuses_a_wrong_key(taskprompt):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(taskprompt("schema")[1])
    recipe = yaml.safe_load(Path(QUICKSTART).read_text())
    jsonschema.validate(recipe, schema)
    recipe["tasks"]["depth"]["farr"] = 3
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(recipe, schema)


def options(node) -> list[dict]:
    """Every part of a schema that describes something with a `kind`."""
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    here = [node] if isinstance(node, dict) and "kind" in (node.get("properties") or {}) else []
    return here + [o for part in inner for o in options(part)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "nowhere.yaml"], ["nowhere.yaml", "No such file", "Give the path"]),
        (["check", QUICKSTART, "tasks.depth.farr=2"], ["tasks.depth.farr", "Did you mean 'far'?", "Found: 2"]),
        (["check", QUICKSTART, "tasks.depth.kind=depht"], ["tasks.depth", "'depht'", "Did you mean 'depth'?"]),
        (["check", QUICKSTART, "stages.0.lr=-1"], ["stages.0.lr", "greater than 0", "Found: -1"]),
        (["check", QUICKSTART, "balancer.weights.depth=.nan"], ["balancer.weights.depth", "finite number. Found: nan"]),
        (["check", QUICKSTART, "stages.0.betas=[0.9, 1.5]"], ["stages.0.betas", "below 1", "[0.9, 1.5]"]),
        (["check", QUICKSTART, "stages.0.freeze=[encodr]"], ["stages.0.freeze", "Did you mean 'encoder'?"]),
        (["fit", QUICKSTART, "stages.1.freeze=[heads.dept]"], ["stages.1.freeze", "Did you mean 'heads.depth'?"]),
        (["check", QUICKSTART, "best={metric: real/action/top3}"], ["best.metric", "Did you mean 'real/action/top5'?"]),
        (
            ["check", QUICKSTART, "runtime.workers=3"],
            ["sources.real.quota: 16 clips cannot be divided among 3 workers"],
        ),
        (["check", "sweep.yaml"], ["this is a sweep, expected a recipe: use tune"]),
        (["fit", "sweep.yaml"], ["this is a sweep, expected a recipe: use tune"]),
        (["tune", QUICKSTART], ["this is a recipe, expected a sweep: use fit"]),
        (["tune", "sweep.yaml", "overrides.weights=null", "metric=real/action/top4"], ["metric", "measures no 'top4'"]),
        (["evaluate", QUICKSTART], ["this is a recipe, expected the folder of a run", "fit"]),
        (["check", QUICKSTART, "steps"], ["override 'steps'", "expected key=value"]),
        (["check", QUICKSTART, "stages.9.steps=2"], ["override 'stages.9.steps=2'", "there is no"]),
        (["check", QUICKSTART, "tasks.own={kind: 'nowhere.own:Own'}"], ["tasks.own", "no module 'nowhere.own'"]),
        (["check", QUICKSTART, "sources.real.cache=${NOT_SET_HERE}"], ["NOT_SET_HERE is not set", "Set it, or write"]),
        (["check", QUICKSTART, "backbone={kind: tiny, patch: [3, 8, 8]}"], ["backbone", "multiples of the patch"]),
        (["check", QUICKSTART, "weights={path: no.pyth}"], ["no.pyth: there is no such file, looked for from"]),
        (["fit", QUICKSTART, "weights={path: a, head: depht}"], ["weights.head: 'depht'", "Did you mean 'depth'?"]),
        (["fit", QUICKSTART, "weights={path: no.pyth}", "--cluster", "none"], ["no.pyth: there is no such file"]),
        (["tune", "sweep.yaml"], ["sweep: 1 problem", "weights: no.pyth: there is no such file"]),
        (["convert", "no.pyth", "--to", "mvit"], ["no.pyth: there is no such file"]),
        (["convert", "no.pyth", "--to", "mvti"], ["no backbone of kind 'mvti'", "Did you mean 'mvit'?"]),
        (["convert", "no.pyth", "--to", "mvit", "size=XL"], ["size: Input should be 'tiny', 'S', 'B' or 'L'"]),
        (["convert", "no.pyth", "--to", "mvit", "--clip", "16x224"], ["--clip 16x224: expected frames,height,width"]),
        (["fit", "nowhere.yaml"], ["nowhere.yaml", "No such file"]),
        (["evaluate", "nowhere"], ["nowhere", "is not a run", "fit --out"]),
        (["predict", "nowhere", "clip.mp4"], ["nowhere", "is not a run"]),
        (["report", "nowhere"], ["nowhere", "is not a run"]),
    ],
    ids=lambda v: " ".join(v).replace(QUICKSTART, "quickstart") if isinstance(v[0], str) and len(v) < 4 else None,
)
def test_a_mistake_is_told_in_a_line(taskprompt, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    sweep = {"recipe": QUICKSTART, "overrides": {"weights": {"path": "no.pyth"}, "evaluate_every": 9}, "trials": 2}
    sweep |= {"metric": "real/action/top1", "mode": "max", "search": {"seed": {"integer": [0, 9]}}}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    status, out, err = taskprompt(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("taskprompt: ")
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 2  # where, and the problem
    assert [w for w in words if w not in err] == []


def test_every_problem_is_told_at_once(taskprompt):
    status, _, err = taskprompt("check", QUICKSTART, "tasks.depth.farr=2", "stages.0.lr=-1", "sources.real.quota=0")
    assert status == 2
    assert "3 problems" in err.splitlines()[0]
    assert [line.split(":")[0].strip() for line in err.splitlines()[1:]] == [
        "sources.real.quota",
        "tasks.depth.farr",
        "stages.0.lr",
    ]


def test_an_unknown_option_is_refused(taskprompt):
    status, _, err = taskprompt("fit", QUICKSTART, "--owt", "runs/x")
    assert status == 2
    assert "No such option" in err


def test_a_run_is_never_overwritten(taskprompt, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    status, _, err = taskprompt("fit", QUICKSTART, "--out", str(tmp_path / "run"), "--cluster", "none")
    assert status == 2
    assert "is not empty and holds no run" in err
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_the_installed_command_exits_with_2_and_no_traceback(tmp_path):
    command = [str(Path(sys.executable).parent / "taskprompt"), "check", "nowhere.yaml"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 2
    assert found.stderr.startswith("taskprompt: ")
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("words", [[], *VERBS], ids=" ".join)
def test_help_of_every_verb(taskprompt, words):
    for option in ("-h", "--help"):
        status, out, err = taskprompt(*words, option)
        assert (status, err) == (0, "")
        assert out.startswith(" ".join(["Usage: taskprompt", *words]))
        assert "\x1b" not in out


def test_the_version(taskprompt):
    assert taskprompt("--version") == (0, f"taskprompt {tp.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["evalute"], "No such command 'evalute'. Did you mean 'evaluate'? See taskprompt --help."),
        (["fit"], "fit: Missing argument 'recipe'. See taskprompt fit --help."),
        (["fit", "r.yaml", "--owt", "x"], "fit: No such option: --owt (Possible options: --out). See taskprompt fit"),
        (["fit", "r.yaml", "--out"], "Option '--out' requires an argument."),
        (["kinds", "tasks"], "kinds: Got unexpected extra argument(s) (tasks). See taskprompt kinds --help."),
        (["compare", "a", "b", "--seeds", "x"], "compare: Invalid value for '--seeds': "),
        (
            ["compare", "a", "b", "--mode", "top"],
            "compare: Invalid value for '--mode': 'top' is not one of 'max', 'min'.",
        ),
        (["job", "logs", "x"], "job logs: Missing option '--address' (env var: 'TASKPROMPT_ADDRESS'). See"),
        (["render", "r.yaml", "--cluster", "none"], "render: Invalid value for '--cluster'"),
        (["schema", "/nowhere/schema.json"], "/nowhere/schema.json: No such file or directory."),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_a_wrong_command_line_is_one_line(taskprompt, monkeypatch, arguments, line):
    monkeypatch.delenv("TASKPROMPT_ADDRESS", raising=False)
    status, out, err = taskprompt(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"taskprompt: {line}")
    assert len(err.splitlines()) == 1


def test_nothing_at_all_shows_the_help(taskprompt):
    for words in ([], ["job"], ["bench"]):
        status, out, err = taskprompt(*words)
        assert (status, out) == (2, "")
        assert err.startswith(" ".join(["Usage: taskprompt", *words]))


@pytest.mark.parametrize("words", [["--help"], ["kinds"]], ids=" ".join)
def test_a_reader_that_goes_away_is_no_error(words):
    read, write = os.pipe()
    os.close(read)
    found = subprocess.run(
        [sys.executable, "-m", "taskprompt", *words], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert (found.returncode, found.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_output_that_cannot_be_written_is_told():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "taskprompt", "--help"]
        found = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (found.returncode, found.stderr) == (2, "taskprompt: the output: No space left on device.\n")


def test_quiet_and_an_address_of_the_environment(taskprompt, squares, tmp_path, monkeypatch):
    """--quiet, before the verb or behind it, leaves results and errors. A dashboard's address is none for --cluster."""
    monkeypatch.setenv("TASKPROMPT_ADDRESS", "http://127.0.0.1:1")
    recipe, run = str(tmp_path / "r.yaml"), str(tmp_path / "run")
    Path(recipe).write_text(yaml.safe_dump(squares | {"stages": [{"steps": 1}]}))
    train = ["fit", recipe, "--out", run, "--cluster", "none"]
    assert taskprompt(*train, "--quiet") == (0, f"trained: {run}\n", "")
    status, out, err = taskprompt("-q", *train)
    assert (status, out) == (2, "")
    assert "Add --resume" in err
    status, out, err = taskprompt("-q", "evaluate", run)
    assert (status, err) == (0, "")
    assert out.splitlines()[0].split()[:3] == ["source", "task", "clips"]
    monkeypatch.setenv("TASKPROMPT_ADDRESS", "127.0.0.1:1")
    assert "cluster '127.0.0.1:1' cannot be reached" in taskprompt("evaluate", run)[2]
    assert "127.0.0.1:1' does not begin with http://" in taskprompt("job", "list")[2]
    monkeypatch.setenv("TASKPROMPT_ADDRESS", "http://127.0.0.1:1")
    assert "no connection to http://127.0.0.1:1" in taskprompt("job", "list")[2]
    assert "is the address of a dashboard" in taskprompt("evaluate", run, "--cluster", "http://127.0.0.1:1")[2]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ev", ["evaluate"]),
        ("job l", ["logs", "list"]),
        ("fit --f", ["--fresh"]),
        ("evaluate run --checkpoint ", ["last", "best", "step-00000001"]),
        ("convert a.pth --to mv", ["mvit"]),
    ],
)
def test_a_shell_completes(tmp_path, words, found):
    (tmp_path / "run" / "checkpoints" / "step-00000001").mkdir(parents=True)
    line = f"taskprompt {words}"
    asked = {"_TASKPROMPT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    command = [str(Path(sys.executable).with_name("taskprompt"))]
    told = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, cwd=tmp_path)
    assert told.stdout.split() == found
    assert told.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell):
    command = [str(Path(sys.executable).with_name("taskprompt"))]
    asked = {"_TASKPROMPT_COMPLETE": f"source_{shell}"}
    told = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True)
    assert f"complete_{shell}" in told.stdout


def test_the_ways_to_inflate_are_all_offered():
    assert get_args(Inflate) == get_args(inspect.get_annotations(convert)["inflate"].__origin__)
