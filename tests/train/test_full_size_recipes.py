"""The full-size recipes of the papers, each two steps at a reduced size, on folders laid out as their headers say."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml

import taskprompt as tp
from taskprompt.evaluation.predict import write_picture
from taskprompt.labels.table import append, record
from taskprompt.recipe.recipe import Recipe

RECIPES = Path(__file__).parents[2] / "recipes"
FOLDER, FTP = RECIPES / "pvit" / "full", RECIPES / "ftp" / "full"
ALIGNED = {"k400": 240436, "k600": 366006, "ssv2": 168913, "ucf101": 9537, "hmdb51": 3570}  # clips of training
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
    for name in (*REAL, *SYNTHETIC, *ALIGNED, "LABELS"):
        monkeypatch.setenv(name.upper(), str(tmp_path))
    return tmp_path


def write_tables(folder: Path, classes: list[str]) -> None:
    (folder / "classes.txt").write_text("\n".join(classes) + "\n")
    lines = [f"{i}.mp4,{classes[i % len(classes)]},{i if i % 2 else ''}" for i in range(4)]
    for name in ("train", "validation"):
        (folder / f"{name}.csv").write_text("\n".join(["clip,class,frame", *lines]) + "\n")
    (folder / "clips.csv").write_text("\n".join(["clip", *(f"{i}.mp4" for i in range(4))]) + "\n")


def flip_sensitive(recipe: Recipe) -> tuple[str, ...]:
    return getattr(recipe.sources["real"], "flip_sensitive", ())


@pytest.mark.parametrize("name", REAL)
def test_two_steps(name, folders):
    numbered = name in ("diving48", "ava")
    classes = {"ego4d": ["same", "changed"]}.get(name, ["3", "5"] if numbered else ["Opening something", "Closing it"])
    write_tables(folders, classes)
    stated = Recipe.load(FOLDER / f"{name}.yaml")
    write_tables(folders, [*classes, *flip_sensitive(stated)])
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


def write_labels(folder: Path) -> None:
    """A caption and its embedding for every clip and tier."""
    tiers = [f"text_{tier}" for tier in ("category", "components", "detail", "context")]
    draw = np.random.default_rng(1)
    captions = [record(f"{i}.mp4", tier, f"{tier} of clip {i}", address="") for tier in tiers for i in range(4)]
    embedded = [
        record(f"{i}.mp4", f"{tier}_embedding", {"text": f"{tier} of {i}", "vectors": vector}, address="")
        for tier in tiers
        for i, vector in enumerate(draw.normal(size=(4, 1, 512)).astype(np.float32))
    ]
    append(folder / "captions", captions)
    append(folder / "embeddings", embedded)


@pytest.mark.parametrize("name", ALIGNED)
def test_two_steps_of_each_stage_of_ftp(name, folders):
    write_tables(folders, ["Opening something", "Closing it"])
    write_labels(folders)
    stated = Recipe.load(FTP / f"{name}.yaml")
    write_tables(folders, ["Opening something", "Closing it", *flip_sensitive(stated)])
    clips = ALIGNED[name]
    assert [(s.quota, s.repeats) for s in stated.sources.values()] == [(512, 1), (128, 2)]
    epochs = [s.steps * quota / clips for s, quota in zip(stated.stages, (512, 128), strict=True)]
    assert epochs == pytest.approx([40, 40], rel=0.03)
    assert [s.steps / s.warmup for s in stated.stages] == [8, 8]
    change = {
        "extends": str(FTP / f"{name}.yaml"),
        **SMALL,
        "clip": SMALL["clip"] | {"frames": 4},
        "sources": {"captioned": {"quota": 4}, "real": {"quota": 4}},
        "stages": {i: {"steps": 2, "warmup": 0} for i in range(2)},
    }
    (folders / "cut.yaml").write_text(yaml.safe_dump(change))
    run = tp.fit(folders / "cut.yaml", folders / "run", cluster=None, watch=lambda record: None)
    lines = run.lines("metrics.jsonl")
    tiers = {"category", "components", "detail", "context"}
    trained = [{key.removeprefix("loss/") for key in line if "loss/" in key} for line in lines]
    assert trained == [tiers, tiers, {"action"}, {"action"}]


@pytest.mark.parametrize("keyframes", [1, 3, 7])
def test_other_numbers_of_key_frames(keyframes, folders):
    write_tables(folders, ["Opening something", "Closing it"])
    write_labels(folders)
    labelers = Recipe.load(FTP / f"keyframes{keyframes}.yaml").labelers
    assert labelers["captions"].keyframes == keyframes  # type: ignore[attr-defined]
    assert len(labelers["captions"].questions()) == 4


def test_the_settings_of_ftp(folders):
    """Table A3 and section 4."""
    write_tables(folders, ["Opening something", "Closing it"])
    write_labels(folders)
    found = Recipe.load(FTP / "k400.yaml")
    assert [(s.optimizer, s.lr, s.betas, s.weight_decay) for s in found.stages] == [
        ("adamw", 1e-5, (0.9, 0.95), 0.05),
        ("adamw", 1e-5, (0.9, 0.999), 0.05),
    ]
    assert [s.mixup for s in found.stages] == [0, 0.8]
    assert found.tasks["action"].blocks == 2  # type: ignore[attr-defined]
    assert found.tasks["action"].label_smoothing == 0.1  # type: ignore[attr-defined]
    assert [s.augment.flip for s in found.sources.values() if s.augment] == [0, 0.5]
    assert found.dims().grid == (16, 14, 14)
