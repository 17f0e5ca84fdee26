"""Going on with a run: what is refused, what is gone on with, and what a damaged or half-written folder does."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from squares import RECIPE

import taskprompt as tp
from taskprompt.recipe.files import change, validate
from taskprompt.runs import checkpoint
from taskprompt.runs.lock import locked
from taskprompt.runs.resume import changes, position, refused


def run(data, out, watch=lambda record: None, **options):
    return tp.fit(validate(data, "r", tp.Recipe), out, cluster=None, watch=watch, **options)


def cut_at(step):
    def stop(event):
        if isinstance(event, tp.events.Step) and event.step == step:
            raise KeyboardInterrupt

    return stop


def files(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "log.txt"
    }


REFUSED = [  # field, another value
    ("seed", 1),
    ("clip.fps", 4),
    ("augment.flip", 0.0),
    ("sources.labelled.quota", 2),
    ("sources.labelled.clips", 10),
    ("held_out.test.clips", 5),
    ("backbone.depth", 1),
    ("tasks.depth.height", 4),
    ("balancer", {"kind": "fixed", "weights": {"depth": 2.0}}),
    ("best", {"metric": "test/depth/RMSE_m"}),
    ("stages.0.optimizer", "sgd"),
    ("stages.0.lr", 0.5),
    ("stages.0.steps", 5),
    ("stages.1.steps", 3),
    ("stages.1.freeze", ["encoder"]),
    ("stages.0.tasks", ["depth"]),
]
FREE = [
    ("runtime.workers", 2),
    ("save_every", 1),
    ("evaluate_every", 3),
    ("keep", 5),
    ("record_clips", True),
    ("max_skipped", 0.5),
    ("stages.0.steps", 8),
    ("stages.1.steps", 5),
    ("held_out.more", {"kind": "squares:Squares", "clips": 3}),
]


@pytest.mark.parametrize(
    ("field", "value", "fine"), [*((f, v, False) for f, v in REFUSED), *((f, v, True) for f, v in FREE)]
)
def test_every_field_is_refused_or_gone_on_with(squares, field, value, fine):
    squares["stages"] = [{"steps": 6, "lr": 1e-3}, {"steps": 4, "lr": 1e-3}]
    old = validate(squares, "r", tp.Recipe)
    change(squares, field, value)
    found = changes(old, validate(squares, "r", tp.Recipe))
    assert {c.field == field or c.field.startswith(field + ".") for c in found} == {True}
    assert (not refused(found, old, total=4)) == fine


@pytest.mark.parametrize(
    ("stages", "total", "fine"),
    [
        ([{"steps": 8}, {"steps": 4}], 6, False),  # the first has ended and the second is next
        ([{"steps": 6}, {"steps": 5}], 6, True),
        ([{"steps": 6}, {"steps": 5}], 10, True),  # all have ended: the last may grow
        ([{"steps": 6}, {"steps": 4}, {"steps": 1}], 10, True),
        ([{"steps": 1}, {"steps": 6}, {"steps": 4}], 3, False),  # one is put before the others
        ([{"steps": 6}], 3, False),  # one is taken away
    ],
)
def test_stages_may_grow_at_their_end_alone(squares, stages, total, fine):
    old = validate(squares | {"stages": [{"steps": 6}, {"steps": 4}]}, "r", tp.Recipe)
    found = changes(old, validate(squares | {"stages": stages}, "r", tp.Recipe))
    assert (not refused(found, old, total)) == fine


def test_a_step_has_its_place_in_the_stages(squares):
    stages = validate(squares | {"stages": [{"steps": 2}, {"steps": 3}]}, "r", tp.Recipe).stages
    assert [position(stages, n) for n in range(6)] == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0)]


def test_another_recipe_is_refused_field_by_field_and_changes_nothing(squares, tmp_path):
    done = run(squares, tmp_path / "run")
    before = files(done.path)
    squares["seed"] = 3
    squares["stages"][0]["optimizer"] = "sgd"
    with pytest.raises(tp.CheckpointError) as error:
        run(squares, done.path, resume=True)
    assert "seed: found 3, expected 0" in str(error.value)
    assert 'stages.0.optimizer: found "sgd", expected "adamw"' in str(error.value)
    assert files(done.path) == before
    with pytest.raises(tp.CheckpointError, match="Give one of"):
        run(squares, done.path, resume=True, fresh=True)
    assert files(done.path) == before


def test_more_steps_are_trained_as_one_run_of_the_new_length_would_from_there(squares, tmp_path):
    squares["stages"] = [{"steps": 3, "lr": 1e-3, "ema": 0.9}]
    done = run(squares, tmp_path / "run")
    old = done.recipe
    squares["stages"][0]["steps"] = 5
    grown = run(squares, tmp_path / "run", resume=True)
    assert [r["step"] for r in grown.lines("metrics.jsonl")] == [1, 2, 3, 4, 5]
    rates = [r["lr"] for r in grown.lines("metrics.jsonl")]
    assert rates[3] == pytest.approx(1e-3 * 0.5 * (1 + torch.cos(torch.tensor(3 * torch.pi / 5)).item()))
    assert tp.Recipe.load(grown.path / "recipe-to-step-00000003.yaml") == old
    assert grown.recipe.stages[0].steps == 5
    assert "stages.0.steps is now 5; it was 3." in "\n".join(grown.told)
    state = checkpoint.read_tensors(grown.checkpoint(), "optimizer")
    assert {int(v) for k, v in state.items() if k.endswith("|step")} == {5}  # its moments were gone on with
    squares["stages"].append({"steps": 2})
    assert len(run(squares, tmp_path / "run", resume=True).lines("metrics.jsonl")) == 7


def test_a_run_that_has_ended_says_so_and_stays_as_it_is(squares, tmp_path):
    done = run(squares, tmp_path / "run")
    before = files(done.path / "checkpoints")
    told = []
    again = run(squares, done.path, told.append, resume=True)
    assert again.done
    assert not done.done
    assert tp.evaluate(again, watch=lambda r: None)["checkpoint"] == "step-00000006"
    assert [
        "Nothing is left to train: 6 of 6 steps are done" in e.text for e in told if isinstance(e, tp.events.Warned)
    ] == [True]
    assert files(done.path / "checkpoints") == before


def test_a_folder_without_a_run_is_told(squares, tmp_path):
    told = []
    run(squares, tmp_path / "typo", told.append, resume=True)
    assert [e.text for e in told if isinstance(e, tp.events.Warned)] == [
        f"{tmp_path}/typo holds no run to resume: a new one begins."
    ]


def test_before_the_first_checkpoint_it_begins_anew_and_no_line_is_doubled(squares, tmp_path):
    with pytest.raises(
        KeyboardInterrupt, match=r"interrupted at step 3; none is saved yet\. Resume with: taskprompt fit"
    ):
        run(squares, tmp_path / "run", cut_at(3))
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write('{"step": 4, "lo')  # a line that a kill cut off
    squares["sources"]["labelled"]["clips"] = 10  # nothing of it is trained yet
    done = run(squares, tmp_path / "run", resume=True)
    assert [r["step"] for r in done.lines("metrics.jsonl")] == [1, 2, 3, 4, 5, 6]


DAMAGE = {
    "state deep": ("state.json", "[" * 5000),
    "state not utf-8": ("state.json", b"\xff\xfe{}"),
    "state a list": ("state.json", "[]"),
    "state a text for a number": ("state.json", '{"total": "4", "sources": {}}'),
    "state another step": ("state.json", '{"total": 2, "sources": {}}'),
    "state negative": ("state.json", '{"total": -4}'),
    "state huge": ("state.json", '{"total": 1' + "0" * 5000 + "}"),
    "state other sources": ("state.json", '{"total": 4, "sources": {"x": {"left": [], "start": 0, "cursors": [0]}}}'),
    "state empty": ("state.json", ""),
    "tensors cut": ("model.safetensors", None),
    "tensors empty": ("optimizer.safetensors", b""),
    "tensors gone": ("model.safetensors", "gone"),
}


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """A folder with the weights of a whole run of six steps, and a run that ended at the fifth with two checkpoints."""
    data, folder = copy.deepcopy(RECIPE) | {"save_every": 2}, tmp_path_factory.mktemp("cut")
    weights = checkpoint.read_tensors(run(data, folder / "whole").checkpoint(), "model")
    with pytest.raises(KeyboardInterrupt):
        run(data, folder / "run", cut_at(5))
    return data, folder / "run", weights


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_newest_checkpoint_is_set_aside_for_the_one_before(cut, tmp_path, case):
    data, old, whole = cut
    shutil.copytree(old, tmp_path / "run")
    name, content = DAMAGE[case]
    file = tmp_path / "run/checkpoints/step-00000004" / name
    if content == "gone":
        file.unlink()
    elif content is None:
        file.write_bytes(file.read_bytes()[:-9])
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run(data, tmp_path / "run", resume=True)
    assert "kept as damaged-step-00000004; continuing from step 2" in done.told[0]
    assert (done.path / "checkpoints/damaged-step-00000004").is_dir()
    weights = checkpoint.read_tensors(done.checkpoint(), "model")
    assert all(torch.equal(whole[k], weights[k]) for k in whole)
    assert [r["step"] for r in done.lines("metrics.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_where_all_checkpoints_are_damaged_nothing_is_touched(squares, tmp_path):
    done = run(squares, tmp_path / "run")
    (done.checkpoint() / "state.json").write_text("{")
    before = files(done.path)
    with pytest.raises(tp.CheckpointError, match=r"state\.json cannot be read"):
        run(squares, done.path, resume=True)
    assert files(done.path) == before


def test_the_state_of_another_optimizer_is_refused_in_one_line(squares, tmp_path):
    squares |= {"save_every": 2, "stages": [{"steps": 6, "optimizer": "sgd"}]}
    with pytest.raises(KeyboardInterrupt):
        run(squares, tmp_path / "run", cut_at(3))
    recipe = tmp_path / "run/recipe.yaml"
    recipe.write_text(recipe.read_text().replace("optimizer: sgd", "optimizer: adamw"))  # by hand
    with pytest.raises(tp.CheckpointError, match=r"found momentum_buffer, .*; AdamW has exp_avg, exp_avg_sq, step"):
        tp.fit(recipe, tmp_path / "run", cluster=None, resume=True, watch=lambda r: None)


def test_drafts_of_killed_processes_neither_block_nor_stay(squares, tmp_path):
    draft = tmp_path / "run/checkpoints/.step-00000006.1"
    draft.mkdir(parents=True)
    (draft / "model.safetensors").write_text("half")
    (tmp_path / "run/recipe.yaml").touch()
    run(squares, tmp_path / "run")
    assert [p.name for p in (tmp_path / "run/checkpoints").iterdir()] == ["step-00000006"]


TRAIN = """
import json, sys
import taskprompt as tp
from taskprompt.recipe.files import validate
try:
    tp.fit(validate(json.loads(sys.argv[1]), "r", tp.Recipe), sys.argv[2], cluster=None, watch=lambda r: None)
except tp.TaskPromptError as error:
    sys.exit(f"{error}")
"""


def start(data, out):
    command = [sys.executable, "-c", TRAIN, json.dumps(data), str(out)]
    env = {"PYTHONPATH": f"{Path(__file__).parents[1] / 'support'}:{Path(tp.__file__).parents[1]}", "PATH": ""}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)


@pytest.mark.slow
def test_of_two_jobs_that_start_at_once_in_one_folder_one_is_refused(squares, tmp_path):
    jobs = [start(squares | {"seed": seed}, tmp_path / "run") for seed in (0, 1)]
    errors = [job.communicate()[1] for job in jobs]
    assert sorted(job.returncode for job in jobs) == [0, 1]
    winner = 0 if jobs[0].returncode == 0 else 1
    assert tp.Run.open(tmp_path / "run").recipe.seed == winner
    assert len(tp.Run.open(tmp_path / "run").lines("metrics.jsonl")) == 6
    assert len(errors[1 - winner].splitlines()) == 1


def test_a_second_job_changes_nothing_in_a_folder_that_another_trains_in(squares, tmp_path, monkeypatch):
    done = run(squares, tmp_path / "run")
    before = files(done.path)
    grown = squares | {"stages": [{"steps": 9, "lr": 1e-3}]}
    monkeypatch.setattr(locked, "__defaults__", (0.1, ".lock"), raising=False)
    with locked(done.path, name=".driver.lock"), pytest.raises(tp.CheckpointError, match="another job is writing"):
        run(grown, done.path, resume=True)
    with locked(done.path, name=".driver.lock"), pytest.raises(tp.CheckpointError, match="another job is writing"):
        run(grown, done.path, fresh=True)
    assert files(done.path) == before


@pytest.mark.parametrize("place", ["file", "below a file", "a loop", "too long", "no name"])
def test_a_place_that_cannot_be_a_folder_is_refused_in_one_line(squares, tmp_path, place):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    names = {"file": "file", "below a file": "file/run", "a loop": "loop", "too long": "x" * 300, "no name": "a\0b"}
    with pytest.raises(tp.TaskPromptError) as error:
        run(squares, tmp_path / names[place])
    assert "\n" not in str(error.value)
    assert (tmp_path / "file").read_text() == "kept"
