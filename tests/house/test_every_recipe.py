"""Every recipe in the repository validates, builds on the meta device, survives its dump, and says how to launch it."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import yaml

from taskprompt.checks.model import check_fits
from taskprompt.labels.table import append, record
from taskprompt.recipe.files import dump, validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.sweeps.check import check_sweep
from taskprompt.sweeps.sweep import Sweep

ROOT = Path(__file__).parents[2]
SWEEPS = sorted((ROOT / "recipes" / "sweeps").rglob("*.yaml"))
RECIPES = sorted(set((ROOT / "recipes").rglob("*.yaml")) - set(SWEEPS))

SYSTEMS = ("pvit", "pretrained", "tiers")  # folders of systems that extend one recipe
PAPER = ("SSV2", "SOMETHINGELSE", "DIVING48", "EGO4D", "AVA", "K400", "K600", "HMDB51")
SYNTHETIC = ("PHAV", "SURREACT", "SYNADL", "HYPERSIM", "EHOI")


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """Recipes of real clips find a table of them; nothing here reads a video."""
    for table in ("labels", "train", "validation", "clips"):
        (tmp_path / f"{table}.csv").write_text("clip,class,frame\na.mp4,fight,3\nb.mp4,noFight,\n")
    (tmp_path / "classes.txt").write_text("fight\nnoFight\n")
    (tmp_path / "Diving").mkdir()
    tiers = [f"text_{tier}_embedding" for tier in ("category", "components", "detail", "context")]
    embedded = {"text": "A person waves.", "vectors": np.ones((1, 256), np.float32)}
    append(tmp_path / "embeddings", [record("scenes-worn/5/0", tier, embedded, address="") for tier in tiers])
    seen = [record("scenes-worn/5/0", f"seen_{tier.removeprefix('text_')}", embedded, address="") for tier in tiers]
    append(tmp_path / "seen_embeddings", seen)
    append(tmp_path / "seen", [record("a.mp4", "seen_detail", "A person waves.", address="")])
    append(tmp_path / "captions", [record("a.mp4", "text_detail", "A person waves.", address="")])
    for name in ("ENCODER", "PRETRAINED", "FIGHTS", "UCF101", "LABELS", *PAPER, *SYNTHETIC):
        monkeypatch.setenv(name, str(tmp_path))


def test_how_many():
    assert [path.stem for path in RECIPES if path.parent.name == "recipes"] == [
        "fights",
        "fights_plain",
        "quickstart",
        "ucf101",
    ]
    assert len(RECIPES) > 50
    assert [path.stem for path in SWEEPS] == ["loss_weights", "synthetic_share", "task_subsets"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_it_builds_and_survives_its_dump(path):
    recipe = Recipe.load(path)
    check_fits(recipe)
    assert validate(yaml.safe_load(dump(recipe)), "again", Recipe) == recipe


@pytest.mark.parametrize(
    ("path", "trials"), list(zip(SWEEPS, (18, 15, 21), strict=True)), ids=lambda p: getattr(p, "stem", p)
)
def test_a_sweep_is_valid_at_every_edge_and_survives_its_dump(path, trials, tmp_path):
    sweep = Sweep.load(path)
    edges = check_sweep(sweep)
    assert len(edges) == 1 + sum(len(r.edges()) for r in sweep.axes.values())
    assert all("action" in measured(recipe) for recipe in edges)
    assert sweep.count == trials
    (tmp_path / "again.yaml").write_text(sweep.text())
    assert Sweep.load(tmp_path / "again.yaml") == sweep


@pytest.mark.parametrize("path", RECIPES + SWEEPS, ids=lambda p: p.stem)
def test_its_header_says_how_to_launch_it(path):
    header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    verb = "tune" if path in SWEEPS else "fit"
    assert len(header) >= 1
    named = [line for line in header if f"taskprompt {verb} {path.relative_to(ROOT).as_posix()}" in line]
    extends = yaml.safe_load(path.read_text(encoding="utf-8")).get("extends")
    assert named or (path.parent.name in SYSTEMS and extends)  # a system of a paper: its base says how


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_the_action_is_measured_on_held_out_clips(path):
    recipe = Recipe.load(path)
    assert "action" in measured(recipe) or "action" not in recipe.tasks  # one that trains an encoder for others


def test_the_quickstart_measures_every_task():
    recipe = Recipe.load(ROOT / "recipes" / "quickstart.yaml")
    assert measured(recipe) == set(recipe.tasks)


def test_every_subset_of_the_tiers_is_a_recipe():
    tiers = ("category", "components", "detail", "context")
    found = {path.stem: Recipe.load(path) for path in sorted((ROOT / "recipes" / "ftp" / "tiers").glob("*.yaml"))}
    subsets = {name: tuple(t for t in tiers if t in recipe.tasks) for name, recipe in found.items()}
    assert subsets.pop("none") == ()
    assert subsets == {
        "".join(letters): tuple(tier for letter, tier in zip("abcd", tiers, strict=True) if letter in letters)
        for count in (1, 2, 3)
        for letters in combinations("abcd", count)
    }
    for name in subsets:
        assert found[name].stage_tasks(found[name].stages[0]) == subsets[name]
        assert found[name].stage_tasks(found[name].stages[1]) == ("action",)


def measured(recipe: Recipe) -> set[str]:
    """The tasks that a held-out source can test."""
    return {task for name, source in recipe.held_out.items() for task in recipe.measured(name, source)}
