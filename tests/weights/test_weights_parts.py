"""`weights: {path, parts}`: named parts of another run's model start a run, each whole, or are refused in a line."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import taskprompt as tp
from taskprompt.recipe.build import build_model
from taskprompt.recipe.files import dump, validate
from taskprompt.weights.start import check_weights, starting_weights

TOKENS = "prompter.tokens.depth"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps with averaged weights, and another mean."""
    from squares import RECIPE

    data = RECIPE | {"stages": [{"steps": 2, "ema": 0.5}], "held_out": {}, "seed": 7}
    data["backbone"] = RECIPE["backbone"] | {"mean": [0.1, 0.2, 0.3]}
    place = tmp_path_factory.mktemp("other") / "run"
    return tp.fit(validate(data, "r", tp.Recipe), place, cluster=None, watch=lambda record: None)


def recipe(squares, run, *parts, **changes) -> tp.Recipe:
    squares["weights"] = {"path": str(run.path if isinstance(run, tp.Run) else run), "parts": list(parts)}
    return validate(squares | changes, "r", tp.Recipe)


def loaded(r: tp.Recipe) -> dict[str, torch.Tensor]:
    model = build_model(r)
    model.load_state_dict(starting_weights(r, model)[0], strict=False)
    return model.state_dict()


def test_named_parts_are_those_of_the_run_and_others_start_anew(run, squares):
    r = recipe(squares, run, "encoder", "heads.depth")
    there, fresh, ours = load_file(run.checkpoint() / "ema.safetensors"), build_model(r).state_dict(), loaded(r)
    for name, tensor in ours.items():
        taken = name.startswith(("encoder.", "heads.depth."))
        assert tensor.equal((there if taken else fresh)[name]), name
    assert not there[TOKENS].equal(ours[TOKENS])
    assert r.backbone.mean == (0.1, 0.2, 0.3)  # as the run normalised its pixels
    assert recipe(squares, run, "prompter").backbone.mean == (0.45, 0.45, 0.45)  # a new encoder has no such past


def test_the_report_says_which_weights_were_taken_and_what_is_left(run, squares):
    report = check_weights(recipe(squares, run, "encoder", "prompter"))
    assert report is not None
    assert report.file == str(run.checkpoint())
    assert (report.parts, report.entry, report.others) == (("encoder", "prompter"), "ema", ("model",))
    lines = [line.split(maxsplit=1) for line in report.text().splitlines()]
    assert lines[0] == [f"{run.checkpoint()}:", "parts of a run, for tiny"]
    assert ["entry", "ema; also there: model: see weights.entry"] in lines
    assert ["parts", "encoder, prompter"] in lines
    assert next(words for words in lines if words[0] == "missing")[1].startswith("heads.")
    assert "as the recipe of its run says" in report.text()


def test_a_checkpoint_and_its_entry_may_be_named(run, squares):
    r = recipe(squares, run.checkpoint(), "prompter")
    assert r.weights is not None
    r = r.model_copy(update={"weights": r.weights.model_copy(update={"entry": "model"})})
    assert loaded(r)[TOKENS].equal(load_file(run.checkpoint() / "model.safetensors")[TOKENS])
    assert not loaded(r)[TOKENS].equal(load_file(run.checkpoint() / "ema.safetensors")[TOKENS])


def test_a_run_s_folder_is_its_newest_checkpoint_without_parts_too(run, squares):
    squares["weights"] = {"path": str(run.path), "head": "depth"}
    report = check_weights(validate(squares, "r", tp.Recipe))
    assert report is not None
    assert (report.file, report.missing) == (str(run.checkpoint()), ())


def test_options_that_differ_are_told(run, squares):
    """The shapes are the same, and what is made of them is not."""
    squares["tasks"]["action"]["classes"] = ["right", "left"]
    report = check_weights(recipe(squares, run, "heads.action", "encoder", clip=squares["clip"] | {"fps": 4}))
    assert report is not None
    assert report.differs == (
        "tasks.action.classes: the run has ['left', 'right'], the recipe ['right', 'left']",
        "clip.fps: the run has 8.0, the recipe 4.0",
    )
    assert "differs    tasks.action.classes: the run has" in report.text()


@pytest.mark.parametrize(
    ("parts", "changes", "words"),
    [
        (
            ["promptr"],
            {},
            r"^weights.parts: the model has no part 'promptr'\. Did you mean 'prompter'\? Known",
        ),
        (["prompter"], {"prompter": {"kind": "none"}}, "^weights.parts: prompter has no weights in this model"),
        (
            ["heads.far"],
            {"tasks": {"far": {"kind": "depth", "label": "depth", "height": 8, "width": 8}}},
            r"step-00000002: has no weights of 'heads.far'.* Found: encoder, heads.action, heads.depth, prompter. Give",
        ),
        (
            ["encoder"],
            {"backbone": {"kind": "tiny", "dim": 32, "depth": 3, "heads": 2}},
            r"its 'encoder' does not match this recipe: it lacks \d+ of its \d+ tensors, such as encoder",
        ),
        (
            ["encoder"],
            {"backbone": {"kind": "tiny", "dim": 32, "depth": 1, "heads": 2}},
            r"it has \d+ tensors that this model lacks, such as encoder",
        ),
        (
            ["prompter"],
            {"backbone": {"kind": "tiny", "dim": 64, "depth": 2, "heads": 2}},
            r"it has \d tensors of another shape, such as prompter.tokens.\w+: found 1 x 32, expected 1 x 64. Use the",
        ),
    ],
)
def test_a_part_that_is_not_there_or_does_not_fit_is_refused(run, squares, parts, changes, words):
    """By `fit` before anything starts, and by `check` as one of its problems."""
    r = recipe(squares, run, *parts, **changes)
    with pytest.raises(tp.TaskPromptError, match=words):
        tp.fit(r, run.path.parent / "never", cluster=None)
    assert not (run.path.parent / "never").exists()
    file = run.path.parent / "r.yaml"
    file.write_text(dump(r))
    with pytest.raises(tp.RecipeError) as caught:
        tp.check(file)
    assert len(caught.value.problems) == 1
    assert "\n" not in caught.value.problems[0]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (
            {"head": "depth"},
            r"weights.head: cannot be combined with parts. Remove it, and add heads.depth to weights",
        ),
        ({"inflate": "mean"}, "weights.inflate: parts of a run are loaded unchanged"),
        ({"parts": []}, "weights.parts: .*at least 1 item"),
    ],
)
def test_options_that_would_have_no_effect_are_refused(run, squares, weights, words):
    squares["weights"] = {"path": str(run.path), "parts": ["encoder"]} | weights
    with pytest.raises(tp.RecipeError, match=words):
        validate(squares, "r", tp.Recipe)


def test_missing_files_and_runs_without_a_checkpoint(run, squares, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tp.CheckpointError, match=r"^nowhere: there is no such file, looked for from"):
        check_weights(recipe(squares, "nowhere", "encoder"))
    shutil.copytree(run.path, "begun")
    shutil.rmtree(Path("begun", "checkpoints", run.checkpoint().name))
    with pytest.raises(tp.CheckpointError, match=r"^begun: this run has no checkpoint yet. Train it"):
        check_weights(recipe(squares, "begun", "encoder"))


def test_numbers_that_are_none_are_refused_in_the_parts_alone(run, squares, tmp_path):
    shutil.copytree(run.checkpoint(), tmp_path / "step")
    tensors = load_file(tmp_path / "step" / "ema.safetensors")
    tensors[TOKENS][0, 0] = float("nan")
    save_file(tensors, tmp_path / "step" / "ema.safetensors")
    with pytest.raises(tp.CheckpointError, match=f"has NaN or infinity in {TOKENS}"):
        check_weights(recipe(squares, tmp_path / "step", "prompter"))
    assert check_weights(recipe(squares, tmp_path / "step", "encoder")) is not None


def test_it_trains_and_a_head_that_comes_along_is_measured(run, squares, tmp_path):
    """The prompter and the heads are trained elsewhere; here the action alone goes on."""
    stage = {"steps": 1, "freeze": ["encoder", "prompter"], "sources": ["labelled"]}
    r = recipe(squares, run, "encoder", "prompter", "heads", stages=[stage])
    assert set(r.learned()) == {"action", "depth"}
    done = tp.fit(r, tmp_path / "run", cluster=None, watch=lambda record: None)
    kept = load_file(done.checkpoint() / "model.safetensors")
    there = load_file(run.checkpoint() / "ema.safetensors")
    same = {n for n in kept if kept[n].equal(there[n])}
    assert {n for n in kept if not n.startswith("heads.action.")} <= same
    assert not any(n.startswith("heads.action.") for n in same)
    assert done.read("weights.json")["parts"] == ["encoder", "prompter", "heads"]
    assert set(tp.evaluate(done).sources["test"]["tasks"]) == {"action", "depth"}
