"""On a GPU all is as on a CPU: outputs, gradients, training with every task, sharing of one GPU, going on elsewhere."""

import math
import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from encoders import CASES, passed, small

import taskprompt as tp
from taskprompt.recipe.files import validate

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
RECIPES = Path(__file__).parents[2] / "recipes"
GPU = torch.device("cuda")


@pytest.fixture(autouse=True)
def whole_float32(monkeypatch):
    """cuDNN's convolutions would else multiply in TF32, with three digits."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def silent(record) -> None:
    """Nobody watches."""


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """Norm of the difference, of the norm of b."""
    return float((a - b).norm() / b.norm().clamp(min=1e-6))


@pytest.mark.parametrize("kind", CASES)
def test_backbones_give_what_they_give_on_a_cpu(kind):
    expected, found = (passed(*small(kind), device) for device in (torch.device("cpu"), GPU))
    assert found.keys() == expected.keys()
    whole = max(float(x.norm()) for n, x in expected.items() if n.startswith("grad"))
    for name, x in expected.items():
        if not name.startswith("grad") or x.norm() > 1e-3 * whole:  # a bias before a softmax has none, but for rounding
            assert apart(found[name], x) < 1e-3, name


@pytest.mark.parametrize("kind", CASES)
def test_backbones_in_bf16(kind):
    expected, found = passed(*small(kind), GPU), passed(*small(kind), GPU, bf16=True)
    assert apart(found["summary"], expected["summary"]) < 0.05
    assert apart(found["patches"], expected["patches"]) < 0.05
    assert all(torch.isfinite(x).all() for x in found.values())


@pytest.mark.parametrize("kind", ["tiny", "mvit"])
def test_compiled_backbones(kind):
    encoder, video, prompts = small(kind)
    expected = passed(encoder, video, prompts, GPU)
    encoder.compile()
    found = passed(encoder, video, prompts, GPU)
    assert apart(found["summary"], expected["summary"]) < 1e-3
    grads = [n for n in expected if n.startswith("grad")]
    assert apart(*(torch.cat([x[n].flatten() for n in grads]) for x in (found, expected))) < 1e-3


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_every_task_trains_and_goes_on_without_a_gpu(precision, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cut = [
        "sources.real.clips=4",
        "sources.real.quota=2",
        "sources.synthetic.clips=4",
        "sources.synthetic.quota=2",
        "held_out.real.clips=11",
        "stages.0={steps: 2, warmup: 0}",
        "stages.1={steps: 2, warmup: 0}",
        "save_every=2",
        "evaluate_every=null",
        f"runtime={{gpu: true, precision: {precision}}}",
    ]
    recipe = tp.Recipe.load(RECIPES / "pvit" / "pvit.yaml", cut)
    run = tp.fit(recipe, tmp_path / "run", cluster=None, watch=silent)
    lines = run.lines("metrics.jsonl")
    assert len(lines) == 4
    assert all(math.isfinite(v) for line in lines for k, v in line.items() if k.startswith("loss/"))
    assert tp.evaluate(run, cluster=None, watch=silent)["sources"]["real"]["tasks"].keys() >= {*recipe.tasks}
    shutil.rmtree(run.path / "checkpoints" / "step-00000004")
    again = tp.fit(
        tp.Recipe.load(RECIPES / "pvit" / "pvit.yaml", [*cut, "runtime.gpu=false"]),
        run.path,
        cluster=None,
        resume=True,
        watch=silent,
    )
    assert len(again.lines("metrics.jsonl")) == 4


@pytest.fixture
def found_by_ray(monkeypatch):
    """Processes that Ray starts find the tests' own kinds."""
    support = str(Path(__file__).parents[1] / "support")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([support, os.environ.get("PYTHONPATH", "")]))


def test_training_through_ray(squares, tmp_path, found_by_ray):
    squares["runtime"] |= {"gpu": True, "compile": True}
    run = tp.fit(validate(squares, "r", tp.Recipe), tmp_path / "run", watch=silent)
    assert len(run.lines("metrics.jsonl")) == 6


def test_trials_of_a_sweep_share_a_gpu(squares, tmp_path, found_by_ray):
    squares["runtime"] |= {"gpu": 0.5}
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for i, file in enumerate(files):
        file.write_text(yaml.safe_dump(squares | {"prompter": {"kind": ("tokens", "shared")[i]}}))
    run = tp.compare(files, tmp_path / "out", seeds=1, metric="test/action/top1", watch=silent)
    assert (run.path / "comparison.md").read_text().count("| 1 |") == 2
