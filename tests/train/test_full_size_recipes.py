"""The full-size recipes of the paper, each two steps at a reduced size, on folders laid out as their headers say."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml

import taskprompt as tp
from taskprompt.core.recipe import Recipe
from taskprompt.train.predict import write_picture

FOLDER = Path(__file__).parents[2] / "recipes" / "pvit" / "full"
REAL = ("ssv2", "somethingelse", "diving48", "ego4d", "ava")
SYNTHETIC = ("phav", "surreact", "synadl", "hypersim", "ehoi")
FRAMES, HEIGHT, WIDTH = 12, 48, 64
SMALL = {
    "clip": {"frames": 2, "height": 32, "width": 32, "fps": None},
    "backbone": {"size": "tiny"},
    "runtime": {"workers": 1, "gpu": False, "precision": "fp32", "compile": False},
    "evaluate_every": None,
    "best": None,
    "weights": None,
}


@pytest.fixture
def folders(tmp_path, monkeypatch) -> Path:
    """All data sets in one folder: four videos, every label file beside each."""
    rng = np.random.default_rng(0)
    shape = (FRAMES, HEIGHT, WIDTH)
    for i in range(4):
        write_picture(tmp_path / f"{i}", rng.integers(0, 255, (*shape, 3), np.uint8), Fraction(12))
        normal = rng.normal(size=(*shape, 3)).astype(np.float32)
        labels = {
            "depth": rng.uniform(1, 9, shape).astype(np.float32),
            "segmentation": rng.integers(0, 20, shape).astype(np.uint8),
            "normal": normal / np.linalg.norm(normal, axis=-1, keepdims=True),
            "pose3d": rng.normal(size=(FRAMES, 25, 3)).astype(np.float32),
            "boxes": np.tile(np.array([4, 4, 30, 40], np.float32), (FRAMES, 2, 1)),
        }
        for name, values in labels.items():
            np.savez_compressed(tmp_path / f"{i}.{name}.npz", values)
    for name in (*REAL, *SYNTHETIC):
        monkeypatch.setenv(name.upper(), str(tmp_path))
    return tmp_path


def write_tables(folder: Path, classes: list[str]) -> None:
    (folder / "classes.txt").write_text("\n".join(classes) + "\n")
    lines = [f"{i}.mp4,{classes[i % len(classes)]},{i if i % 2 else ''}" for i in range(4)]
    for name in ("train", "validation"):
        (folder / f"{name}.csv").write_text("\n".join(["clip,class,frame", *lines]) + "\n")
    (folder / "clips.csv").write_text("\n".join(["clip", *(f"{i}.mp4" for i in range(4))]) + "\n")


@pytest.mark.parametrize("name", REAL)
def test_two_steps(name, folders):
    numbered = name in ("diving48", "ava")
    classes = {"ego4d": ["same", "changed"]}.get(name, ["3", "5"] if numbered else ["Opening something", "Closing it"])
    write_tables(folders, classes)
    stated = Recipe.load(FOLDER / f"{name}.yaml")
    assert sum(s.quota for s in stated.sources.values()) == (32 if name == "ava" else 128)
    assert all(s.quota % int(str(stated.runtime.workers)) == 0 for s in stated.sources.values())  # each worker's share
    change = {
        "extends": str(FOLDER / f"{name}.yaml"),
        **SMALL,
        "sources": {n: {"quota": 2} for n in stated.sources},
        "stages": {0: {"steps": 2}},
    }
    (folders / "cut.yaml").write_text(yaml.safe_dump(change))
    run = tp.fit(folders / "cut.yaml", folders / "run", cluster=None, watch=lambda record: None)
    lines = run.lines("metrics.jsonl")
    assert len(lines) == 2
    assert {key.removeprefix("loss/") for line in lines for key in line if "loss/" in key} == set(stated.tasks)


def test_the_papers_numbers(folders):
    """Supplement C: optimizers, rates, weight decay, weights of the losses."""
    write_tables(folders, ["a", "b"])
    found = {n: Recipe.load(FOLDER / f"{n}.yaml", ["tasks.action.classes=80"]) for n in REAL}
    stages = {n: r.stages[0] for n, r in found.items()}
    assert {n: (s.optimizer, s.lr) for n, s in stages.items()} == {
        "ssv2": ("adamw", 7e-5),
        "somethingelse": ("adamw", 7e-5),
        "diving48": ("adam", 1.5e-4),
        "ego4d": ("adam", 1.5e-5),
        "ava": ("sgd", 0.03),
    }
    assert stages["ssv2"].weight_decay == 1e-4
    assert stages["ava"].weight_decay == 1e-8
    weights = {"action": 1.0, "depth": 0.5, "normal": 0.5, "segmentation": 0.1, "pose3d": 3.0, "boxes": 0.1}
    assert all(r.balancer.weights == weights for r in found.values())  # type: ignore[attr-defined]
    assert found["ssv2"].dims().frames == 16
