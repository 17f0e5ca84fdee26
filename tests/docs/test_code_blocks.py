"""The README and the docs are run: each page in a folder of its own, with a small quickstart, clips and pictures."""

import contextlib
import io
import itertools
import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pages import PAGES, ROOT, blocks
from PIL import Image

import taskprompt as tp
from taskprompt.checks.model import check_fits
from taskprompt.evaluation.predict import write_picture
from taskprompt.recipe.build import build_model
from taskprompt.recipe.recipe import Recipe, Stage
from taskprompt.sweeps.check import check_sweep

# page -> blocks that are python, yaml, and python files to be tested
COUNTS = {
    "README.md": (2, 1, 0),
    "docs/add_a_backbone.md": (3, 1, 1),
    "docs/add_a_balancer.md": (3, 2, 1),
    "docs/add_a_source.md": (2, 1, 1),
    "docs/add_a_task.md": (6, 3, 3),
    "docs/add_a_tracker.md": (2, 1, 1),
    "docs/api.md": (1, 0, 0),
    "docs/captions.md": (2, 6, 1),
    "docs/checkpoints.md": (1, 2, 0),
    "docs/cluster.md": (2, 2, 0),  # submit.py is run by tests/runtime/test_submit.py
    "docs/recipes.md": (0, 5, 0),
    "docs/sweeps.md": (0, 1, 0),
    "docs/videos.md": (0, 1, 0),
}
NO_CODE = ["docs/contributing.md", "docs/index.md", "docs/scaling.md", "docs/speed.md"]
SYSTEMS = sorted((ROOT / "recipes" / "pvit").glob("*.yaml"))
RECIPES = [(p, b.title) for p in COUNTS if "sweeps" not in p for b in blocks(p, "yaml") if b.title != "fragment"]
RATE = Fraction(8)  # frames a second of the clips
SMALL = {  # what makes a recipe of the docs small enough to train here
    "clip": {"height": 32, "width": 32},
    "evaluate_every": None,
    "runtime": {"precision": "fp32", "gpu": False, "workers": 1},
}


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """Folder of scenes that the pages share, so that each is drawn once."""
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture
def folder(tmp_path, monkeypatch, drawn):
    """A working folder with recipes/quickstart.yaml cut down, a clip, videos with labels, and pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "recipes").mkdir()
    quickstart = {"extends": str(ROOT / "recipes" / "quickstart.yaml"), **small_quickstart(drawn)}
    (tmp_path / "recipes" / "quickstart.yaml").write_text(yaml.safe_dump(quickstart))
    rng = np.random.default_rng(0)
    write_picture(tmp_path / "clip", frames(rng, 12), RATE)
    for i, kind in itertools.product(range(2), ("walk", "squat")):
        (tmp_path / "videos" / kind).mkdir(parents=True, exist_ok=True)
        write_picture(tmp_path / "videos" / kind / f"{i}", frames(rng, 12), RATE)
        (tmp_path / "videos" / kind / f"{i}.contact.json").write_text(json.dumps([0] * 6 + [1] * 6))
        (tmp_path / "videos" / kind / f"{i}.boxes.json").write_text(
            json.dumps([[[4, 8, 30, 40], [34, 8, 60, 40]]] * 12)
        )
        (tmp_path / "videos" / kind / f"{i}.objects.json").write_text(json.dumps(["hand", "cup"]))
        (tmp_path / "pictures" / kind / f"{i}").mkdir(parents=True)
        for t, frame in enumerate(frames(rng, 9)):
            Image.fromarray(frame).save(tmp_path / "pictures" / kind / f"{i}" / f"{t:04d}.png")
    yield tmp_path
    for name in [n for n, m in sys.modules.items() if str(getattr(m, "__file__", "")).startswith(str(tmp_path))]:
        del sys.modules[name]
    for name in [n for n in sys.modules if n.split(".")[0].startswith("my_")]:
        del sys.modules[name]


def small_quickstart(drawn: Path) -> dict:
    source = {"size": 32, "cache": str(drawn)}
    return {
        "clip": {"frames": 4, **SMALL["clip"]},
        "sources": {"real": source | {"clips": 6, "quota": 2}, "synthetic": source | {"clips": 6, "quota": 2}},
        "held_out": {"real": source | {"clips": 4}},
        "stages": {i: {"steps": 2, "warmup": 0} for i in range(2)},
        "runtime": {"precision": "fp32"},
    }


def frames(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, 255, (count, 48, 64, 3), np.uint8)


def write_files(page: str, into: Path) -> None:
    """Every titled block as the file of that name."""
    for block in blocks(page):
        if block.title and block.title not in ("fragment", "output", "signatures"):
            (into / block.title).parent.mkdir(parents=True, exist_ok=True)
            (into / block.title).write_text(block.text, encoding="utf-8")


def test_every_page_is_here():
    assert sorted([*COUNTS, *NO_CODE, "docs/design.md"]) == sorted(set(PAGES) - {"docs/results.md"})


@pytest.mark.parametrize("page", sorted(set(PAGES) - {"docs/results.md"}))
def test_how_many_blocks(page):
    python, yamls = blocks(page, "python"), blocks(page, "yaml")
    tested = [b for b in python if b.title.startswith("test_")]
    expected = COUNTS.get(page, (0, 0, 0))
    if page == "docs/design.md":
        expected = (1, 0, 0)  # the signatures, which have a test of their own
    assert (len(python), len(yamls), len(tested)) == expected
    assert {b.language for b in blocks(page)} <= {"python", "yaml", "bash", "text"}


@pytest.mark.parametrize("page", [p for p, (python, _, _) in COUNTS.items() if python])
def test_python_runs(page, folder):
    """Files are written, scripts run, and the functions called test_ pass. What a script prints is as shown."""
    write_files(page, folder)
    printed, ran = io.StringIO(), 0
    names: dict = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python" and not block.title:
            code = compile("\n" * block.line + block.text, str(PAGES[page]), "exec")
            with contextlib.redirect_stdout(printed):
                exec(code, names)
            ran += 1
        elif block.language == "python" and block.title.startswith("test_"):
            found: dict = {}
            exec(compile(block.text, block.title, "exec"), found)
            tests = [f for n, f in found.items() if n.startswith("test_")]
            assert len(tests) == 1
            tests[0]()
            ran += 1
        elif block.title == "output":
            assert printed.getvalue() == block.text
    assert ran == max(1, COUNTS[page][2])


@pytest.mark.parametrize(("page", "title"), RECIPES)
def test_recipe_trains(page, title, folder, drawn):
    """Every whole recipe validates and builds as it stands, and trains two steps a stage once it is made small."""
    write_files(page, folder)
    stated = Recipe.load(title)
    check_fits(stated)
    cut = yaml.safe_load((folder / title).read_text())
    small = {"size": 32, "cache": str(drawn), "clips": 6}
    sources = {n: small if hasattr(s, "cache") else {} for n, s in stated.sources.items()}
    change = SMALL | {
        "extends": str(folder / title),
        "sources": {n: s | {"quota": 2} for n, s in sources.items()},
        "held_out": {n: small if hasattr(s, "cache") else {} for n, s in stated.held_out.items()},
        "stages": [{**s, "steps": 2, "warmup": 0} for s in cut.get("stages", [{}])],
    }
    Path("cut.yaml").write_text(yaml.safe_dump(change))
    run = tp.fit("cut.yaml", "runs/cut", cluster=None, watch=lambda record: None)
    lines = run.lines("metrics.jsonl")
    assert len(lines) == 2 * len(change["stages"])
    trained = {key.removeprefix("loss/") for line in lines for key in line if key.startswith("loss/")}
    assert trained == set(stated.tasks)


def test_the_sweep_is_valid(folder):
    """At every edge of its space; sweeps are trained in tests/runtime."""
    write_files("docs/sweeps.md", folder)
    sweep = tp.Sweep.load("lr.yaml", ["overrides.stages={1: {steps: 300}}"])  # warm-up lies within a stage
    assert len(check_sweep(sweep)) == 1 + 2 + 2 + 2 + 3


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda p: p.stem)
def test_the_systems_of_the_paper_train(path, folder, drawn):
    """Each of them, made small, trains what it should."""
    small = small_quickstart(drawn)
    small.pop("stages")
    sources = {n: s for n, s in small["sources"].items() if n in Recipe.load(path).sources}
    steps = {i: {"steps": 2, "warmup": 0} for i, _ in enumerate(Recipe.load(path).stages)}
    change = {"extends": str(path), **small, "sources": sources, "stages": steps, "evaluate_every": None}
    Path("cut.yaml").write_text(yaml.safe_dump(change))
    recipe = Recipe.load("cut.yaml")
    run = tp.fit(recipe, "runs/system", cluster=None, watch=lambda record: None)
    before, after = build_model(recipe).state_dict(), run.model().state_dict()
    moved = {name.partition(".")[0] for name in before if not before[name].equal(after[name])}
    frozen = {"encoder"} if "vpt" in path.stem else set()
    prompted = set() if path.stem in ("plain", "mt", "pretrain_finetune") else {"prompter"}
    assert moved == ({"encoder", "heads"} | prompted) - frozen


def test_how_many_recipes():
    assert len(SYSTEMS) == 12
    assert len(RECIPES) >= 10
    assert sum(b.title == "fragment" for p in COUNTS for b in blocks(p, "yaml")) >= 11


def test_fragments_are_valid_in_a_recipe(folder):
    """A fragment's entries are parts of a recipe: each source, labeler, task, stage, backbone and weights validates."""
    parts = {"backbone": tp.Backbone, "clip": tp.ClipSpec, "weights": tp.Weights}
    seen = 0
    for page in COUNTS:
        for block in blocks(page, "yaml"):
            if block.title == "fragment":
                found = yaml.safe_load(block.text)
                for group, interface in (("sources", tp.Source), ("labelers", tp.Labeler), ("tasks", tp.Task)):
                    for entry in found.pop(group, {}).values():
                        interface.model_validate(entry)
                        seen += 1
                for stage in found.pop("stages", ()):
                    Stage.model_validate(stage)
                    seen += 1
                for name, entry in found.items():
                    parts[name].model_validate(entry)
                    seen += 1
    assert seen == 15


def test_the_layout_of_the_docs_renames():
    (block,) = (b for b in blocks("docs/add_a_backbone.md", "python") if b.title == "fragment")
    names: dict = {}
    exec(block.text, names)
    (layout,) = names["Plain"].layouts
    theirs = ("patch_embed.bias", "pos_embed", "blocks.12.mlp.fc1.bias", "blocks.0.attn.qkv.bias", "fc.bias")
    ours = ["stem.bias", "positions", "blocks.12.mlp.up.bias", "blocks.0.attn.qkv.bias", "head.bias"]
    assert [layout.ours(n) for n in theirs] == ours
    file = {f"backbone.{n}" for n in ("patch_embed.weight", "blocks.0.attn.qkv.weight")}
    assert (layout.prefix_in(file), layout.prefix_in(file | {"backbone.blocks.0.ls1.gamma"})) == ("backbone.", None)
    changed = layout.change({"positions": torch.zeros(1, 18, 4)}, {"positions": torch.zeros(2, 5, 7, 4)})
    assert changed["positions"].shape == (2, 3, 3, 4)
