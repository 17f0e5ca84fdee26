"""Recipes: extends, variables, overrides, and every mistake at once with a hint."""

import pytest
import yaml

from taskprompt.core.errors import RecipeError
from taskprompt.recipe.files import dump, read, validate
from taskprompt.recipe.recipe import Recipe


def write(folder, name, data):
    path = folder / name
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return path


def problems(data) -> str:
    with pytest.raises(RecipeError) as caught:
        validate(data, "r.yaml", Recipe)
    return str(caught.value)


def test_a_recipe_survives_yaml(squares):
    recipe = validate(squares, "r", Recipe)
    assert validate(yaml.safe_load(dump(recipe)), "again", Recipe) == recipe


def test_extends_merges_by_key_and_a_new_kind_replaces(tmp_path, squares):
    write(tmp_path, "base.yaml", squares)
    change = {"extends": "base.yaml", "prompter": {"kind": "none"}, "tasks": {"depth": None}, "stages": [{"steps": 2}]}
    merged = read(write(tmp_path, "change.yaml", change))
    assert merged["prompter"] == {"kind": "none"}
    assert list(merged["tasks"]) == ["action"]
    assert merged["stages"] == [{"steps": 2}]
    assert merged["backbone"] == squares["backbone"]


def test_extends_in_a_circle_is_said(tmp_path):
    write(tmp_path, "a.yaml", {"extends": "b.yaml"})
    write(tmp_path, "b.yaml", {"extends": "a.yaml"})
    with pytest.raises(RecipeError, match=r"a\.yaml -> b\.yaml -> a\.yaml is a cycle"):
        read(tmp_path / "a.yaml")


def test_overrides_reach_into_lists(tmp_path, squares):
    recipe = Recipe.load(write(tmp_path, "r.yaml", squares), ["stages.0.steps=9", "tasks.depth.far=3.5", "seed=4"])
    assert (recipe.stages[0].steps, recipe.tasks["depth"].far, recipe.seed) == (9, 3.5, 4)  # type: ignore[attr-defined]


@pytest.mark.parametrize("bad", ["steps", "stages.7.steps=1", "seed.a=1"])
def test_an_override_that_fits_nowhere_is_said(tmp_path, squares, bad):
    with pytest.raises(RecipeError, match="override"):
        Recipe.load(write(tmp_path, "r.yaml", squares | {"seed": 1}), [bad])


def test_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA", "/videos")
    path = write(tmp_path, "r.yaml", "a: ${DATA}/x\nb: ['${NOWHERE:-here}']\n")
    assert read(path) == {"a": "/videos/x", "b": ["here"]}
    path = write(tmp_path, "s.yaml", "a: {b: '${NOT_SET_ANYWHERE}'}\n")
    with pytest.raises(RecipeError, match=r"a\.b: the environment variable NOT_SET_ANYWHERE is not set\. Set it, or"):
        read(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [("- a\n", r"holds \['a'\]"), ("", "holds null"), ("a: [", "is not yaml"), (None, "cannot be read: No such file")],
)
def test_files_that_are_no_recipe(tmp_path, text, said):
    path = tmp_path / "r.yaml" if text is None else write(tmp_path, "r.yaml", text)
    with pytest.raises(RecipeError, match=said):
        read(path)


def test_every_mistake_at_once_with_path_found_allowed_and_nearest(squares):
    squares["clip"]["frames"] = -1
    squares["tasks"]["depth"]["kind"] = "depht"
    squares["backbone"]["dimm"] = 3
    squares["stages"][0]["optimizer"] = "adamx"
    said = problems(squares)
    assert "r.yaml: 4 problems" in said
    assert "clip.frames: Input should be greater than or equal to 1. Found: -1." in said
    assert "tasks.depth: no task of kind 'depht'. Did you mean 'depth'?" in said
    assert "backbone.dimm: no such field. Did you mean 'dim'? Allowed:" in said
    assert "stages.0.optimizer: Input should be 'adamw', 'adam' or 'sgd'. Found: 'adamx'." in said


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("tasks", None, "tasks: Input should be `key: value` lines. Found: null."),
        ("clip", [True], "clip: Input should be `key: value` lines. Found: [true]."),
        ("stages", 3, "stages: Input should be a list. Found: 3."),
        ("best", {"metric": 3}, "best.metric: Input should be text. Found: 3."),
        ("evaluate_every", "often", "evaluate_every: Input should be a whole number. Found: 'often'."),
        ("max_skipped", [], "max_skipped: Input should be a number. Found: []."),
        # A field of several types is told in one line, under the name that the recipe has.
        ("runtime", {"gpu": "maybe"}, "runtime.gpu: Input should be true or false, or be a number. Found: 'maybe'."),
        (
            "runtime",
            {"workers": [1, 2, 3]},
            "runtime.workers: Input should be a whole number, or have at most 2 entries, ",
        ),
        (
            "runtime",
            {"data_workers": {"a": "b"}},
            "runtime.data_workers.a: Input should be a whole number. Found: 'b'.",
        ),
        ("balancer", {"kind": 3}, "balancer: found the kind 3, expected a name, so the balancer is unknown. Known: "),
    ],
)
def test_a_value_of_another_type_is_told_in_words_of_yaml(squares, key, value, said):
    squares[key] = value
    lines = problems(squares).split("\n")
    assert len([line for line in lines if line.startswith(f"  {key}")]) == 1, lines
    assert any(line.startswith(f"  {said}") for line in lines), lines


def test_names_that_do_not_agree(squares):
    squares["sources"]["rendered"]["only"] = ["depht"]
    squares["stages"][0]["tasks"] = ["acton"]
    said = problems(squares)
    assert "stages.0.tasks: 'acton' is not one of the recipe's tasks. Did you mean 'action'?" in said
    assert "sources.rendered.only: 'depht' is not a label of this source. Did you mean 'depth'?" in said
    assert "tasks.depth: reads the label 'depth', which no source gives" in said


def test_names_that_no_file_or_module_can_have_are_refused(squares):
    squares["tasks"]["near/far"] = squares["tasks"].pop("depth")
    squares["sources"]["a.b"] = squares["sources"].pop("rendered")
    said = problems(squares)
    assert "found the name 'near/far', expected letters, digits, _ and -" in said
    assert "found the name 'a.b', expected letters" in said


def test_a_stage_without_the_source_of_a_task_is_refused(squares):
    squares["stages"][0] |= {"sources": ["labelled"], "tasks": ["action", "depth"]}
    assert "stages.0: task 'depth' has no label in this stage's sources" in problems(squares)


def test_a_stage_without_tasks_trains_those_that_its_sources_label(squares):
    squares["stages"][0]["sources"] = ["labelled"]
    recipe = Recipe.model_validate(squares)
    assert recipe.stage_tasks(recipe.stages[0]) == ("action",)
    squares["tasks"] = {"depth": squares["tasks"]["depth"]}
    assert "stages.0: its sources label no task of the recipe" in problems(squares)


def test_what_no_stage_trains_is_not_measured(squares):
    squares["stages"][0]["sources"] = ["labelled"]
    recipe = Recipe.model_validate(squares)
    assert (list(recipe.learned()), list(recipe.measured("test", recipe.held_out["test"]))) == (["action"], ["action"])
    assert list(recipe.tasks_of("test", recipe.held_out["test"])) == ["action", "depth"]
    assert "'depth' is not measured on 'test'" in problems(squares | {"best": {"metric": "test/depth/AbsRel"}})
    squares["weights"] = {"path": "k400.pyth", "head": "depth"}  # its head comes with the weights
    assert list(Recipe.model_validate(squares).learned()) == ["action", "depth"]


def test_a_clip_that_the_backbone_cannot_cut_is_refused(squares):
    squares["clip"]["height"] = 33
    assert "backbone: " in problems(squares)


@pytest.mark.parametrize(
    ("field", "value"), [("quota", 4), ("allow_flip", False), ("permute_labels", 0), ("augment", {"noise": 3})]
)
def test_fields_of_training_are_refused_on_held_out_sources(squares, field, value):
    name, source = next(iter(squares["sources"].items()))
    squares["held_out"] = {name: source | {field: value}}
    assert f"held_out.{name}.{field}: found " in (found := problems(squares))
    assert "but held-out clips are shown once" in found
