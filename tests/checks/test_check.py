"""`check`: everything that is wrong in one go, with and without data, and what is right in ten lines."""

import numpy as np
import pytest
import yaml
from brightness import Brightness

import taskprompt as tp
from taskprompt.checks.model import metric_names
from taskprompt.labels.table import append, record


@pytest.fixture
def problems(squares, tmp_path):
    """changes of the recipe, overrides -> the lines that say what is wrong."""

    def found(*overrides: str, data: bool = False, **changes) -> list[str]:
        (tmp_path / "r.yaml").write_text(yaml.safe_dump(squares | changes))
        try:
            tp.check(tmp_path / "r.yaml", overrides, data=data)
        except tp.RecipeError as error:
            return error.problems
        return []

    return found


def embedded(folder, keys, width=4, label="say_embedding"):
    value = {"text": "a square", "vectors": np.ones((1, width), np.float32)}
    append(folder, [record(key, label, value, address=key) for key in keys])
    return str(folder)


def test_everything_at_once(problems):
    """Fields, names, a missing table, the model, metrics and workers: none hides another."""
    lines = problems(
        "seed=-1",
        "stages.0.lr=.nan",
        "stages.0.freeze=[encodr]",
        "tasks.depth.label=dept",
        "sources.labelled.tables=[nowhere]",
        "best={metric: test/action/top9}",
        "runtime.workers=4",
        "held_out.test.only=[actoin]",
    )
    starts = [line.split(":")[0] for line in lines]
    assert starts == [
        *("seed", "stages.0.lr", "sources.labelled", "tasks.depth", "held_out.test.only", "best.metric"),
        *("stages.0.freeze", "best.metric", "sources.rendered.quota"),
    ]


def test_a_wrong_field_hides_no_name_and_invents_none(problems):
    assert problems("backbone.dim=-1") == ["backbone.dim: Input should be greater than or equal to 8. Found: -1."]
    lines = problems("backbone.dim=-1", "stages.0.tasks=[acton]", "stages.0.freez=[encoder]")
    assert [line.split(":")[0] for line in lines] == ["backbone.dim", "stages.0.freez"] or len(lines) == 3
    assert not any("encoder" in line and "no part" in line for line in lines)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["stages.0.freeze=[heads.deth]"], "stages.0.freeze: the model has no part 'heads.deth'. Did you mean"),
        (["stages.0.freeze=[encoder, prompter, heads]"], "leaves nothing to train"),
        (["stages.0.warmup=7"], "stages.0: warmup: found 7, but the stage has 6 steps"),
        (["best={metric: test/depth/RMSE}"], "'depth' measures no 'RMSE'. Did you mean 'test/depth/RMSE_m'?"),
        (["runtime.workers=[3, 9]"], "runtime.workers: no number from 3 to 9 divides every quota"),
        (["runtime.workers=1000000000000000000"], "cannot be divided among 1000000000000000000 workers"),
        (["balancer.weights={dept: 1}"], "balancer.weights: 'dept' is not a task. Did you mean 'depth'?"),
        (["tasks.depth.height=16384", "tasks.depth.width=99999"], "tasks.depth.width"),
        (["backbone.dim=65536", "backbone.heads=1000"], "dim is 65536, expected a multiple of heads"),
        (["labelers.e={kind: text_embedding, table: t, captions: [acton]}"], "reads the label 'acton', which none"),
        (
            ["labelers.e={kind: text_embedding, table: t, captions: [action], sources: [tset]}"],
            "'tset' is not a source",
        ),
        (["backbone={kind: tiny, dim: 65536, heads: 64, depth: 1000}"], "5.2e+13 parameters, expected 1e+12 at most"),
        (["clip={frames: 4000, height: 4096, width: 4096, fps: 8}"], "clip: a clip of 188 GiB, expected 4 at most"),
        (["held_out.test.clips=0"], "held_out.test: lists no clips"),
    ],
)
def test_a_mistake(problems, overrides, words):
    (line,) = problems(*overrides)
    assert words in line


def test_a_missing_table_has_the_labels_of_its_labeler(problems, tmp_path):
    """So a misspelt one is found before it is there; what it will have is not called missing."""
    table = str(tmp_path / "captions")
    labelers = {"e": {"kind": "text_embedding", "table": table, "captions": ["action"]}}
    caption = {"kind": "caption", "width": 4}
    lines = problems(f"sources.labelled.tables=[{table}]", "sources.labelled.only=null", labelers=labelers)
    assert lines == [f"sources.labelled: there is no label table in {table!r}. Write it with `taskprompt label`."]
    tasks = {"say": {**caption, "label": "acton_embedding"}, "depth": {"kind": "depth", "height": 8, "width": 8}}
    lines = problems(f"sources.labelled.tables=[{table}]", "sources.labelled.only=null", labelers=labelers, tasks=tasks)
    assert [line.split(":")[0] for line in lines] == ["sources.labelled", "tasks.say"]
    assert "Did you mean 'action_embedding'?" in lines[1]


def test_embeddings_of_another_width(problems, tmp_path):
    table = embedded(tmp_path / "t", [f"squares/{i}" for i in range(12)], width=6)
    tasks = {"say": {"kind": "caption", "width": 4, "label": "say_embedding"}}
    stage = [{"steps": 2, "sources": ["labelled"]}]
    given = {"tasks": tasks, "stages": stage, "held_out": {}}
    lines = problems(f"sources.labelled.tables=[{table}]", "sources.labelled.only=[say_embedding]", **given)
    assert len(lines) == 1
    assert "tasks.say: 'say_embedding' of sources.labelled" in lines[0]
    assert "found embeddings of the shape (1, 6), expected n x 4" in lines[0]
    fine = ["sources.labelled.only=[say_embedding]", "tasks.say.width=6"]
    assert problems(f"sources.labelled.tables=[{table}]", *fine, **given) == []


def test_data_is_looked_into(squares, tmp_path, problems):
    """Clips that cannot be read, and a table that knows none of them."""
    squares["sources"]["rendered"]["broken"] = [0, 1]
    checked = tp.check(tp.Recipe.model_validate(squares), data=True)
    assert [line.split(";")[0] for line in checked.data] == [
        "sources.labelled: 12 clips",
        "sources.rendered: 10 clips",
        "held_out.test: 6 clips",
    ]
    assert "read 8, 6 can be used (not squares/0: squares/0: the file is empty" in checked.data[1]
    (line,) = problems(f"sources.rendered.broken={list(range(10))}", data=True)
    assert "sources.rendered: none of the 8 clips that were read can be used. For example squares/0" in line
    table = embedded(tmp_path / "t", ["others/1"], label="say_embedding")
    tasks = squares["tasks"] | {"say": {"kind": "caption", "width": 4, "label": "say_embedding"}}
    given = [f"sources.labelled.tables=[{table}]", "sources.labelled.only=null"]
    assert problems(*given, tasks=tasks) == []
    (line,) = problems(*given, tasks=tasks, data=True)
    assert (
        "has 'say_embedding' for none of its 12 clips: the clips have keys such as 'squares/0', the table 'others/1'"
        in line
    )
    (line,) = problems("sources.labelled.wrong=[0]", data=True)
    assert "sources.labelled: source 'sources.labelled', sample 'squares/0': ZeroDivisionError: a mistake" in line


def test_what_is_right(squares):
    checked = tp.check(tp.Recipe.model_validate(squares))
    assert len(checked.summary()) == 10
    assert checked.parameters.keys() == {"encoder", "prompter", "heads"}
    assert checked.text().startswith("ok: recipe\n  clip       4 frames of 32 x 32, 8 fps\n")
    assert tp.Recipe.model_validate(yaml.safe_load(checked.text(full=True))) == checked.recipe


@pytest.mark.parametrize("kind", ["depth", "normal", "segmentation", "pose3d", "boxes", "caption", "action"])
def test_the_metrics_of_a_task_are_known_before_it_is_trained(squares, kind):
    task = tp.Task.model_validate({"kind": kind} | ({"classes": 7} if kind in ("action", "segmentation") else {}))
    names = metric_names(task, tp.Recipe.model_validate(squares).dims())
    expected = {"depth": "RMSE_m", "normal": "mean_deg", "segmentation": "mIoU", "pose3d": "MPJPE_mm"}
    expected |= {"boxes": "AP50", "caption": "t2v_R1", "action": "top5"}
    assert names is not None
    assert expected[kind] in names


def test_the_metrics_of_a_task_that_declares_none_are_tried_out(squares):
    class Odd(Brightness):
        def metrics(self, output, target):
            raise ZeroDivisionError

    dims = tp.Recipe.model_validate(squares).dims()
    assert metric_names(Brightness(), dims) == ("gap", "nothing")
    assert metric_names(Odd(), dims) is None


def test_a_declaration_that_is_none_is_a_problem_of_the_recipe(squares, problems, monkeypatch):
    squares["tasks"]["grey"] = {"kind": "brightness:Brightness"}
    squares |= {"evaluate_every": 1, "best": {"metric": "test/grey/gap", "mode": "max"}}
    assert problems() == []
    twice = tp.Metric("gap", "", "min"), tp.Metric("gap")
    monkeypatch.setattr(Brightness, "measures", lambda self: twice)
    assert problems() == ["tasks.grey: Brightness.measures names the metric 'gap' twice. Remove one."]
    monkeypatch.setattr(Brightness, "measures", lambda self: twice[:1])
    assert problems() == ["best.mode: found 'max', but 'grey/gap' is better the other way. Remove mode."]
    assert problems(best={"metric": "test/grey/gip", "mode": "max"}) == [
        "best.metric: 'grey' measures no 'gip'. Did you mean 'test/grey/gap'? Measured: test/grey/gap."
    ]
