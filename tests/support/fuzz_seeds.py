"""Valid inputs of every kind, made here: what the fuzzer changes."""

import io
import json
import tempfile
import zipfile
from argparse import Namespace
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

FRAMES, HEIGHT, WIDTH = 12, 48, 64
CENTRE = np.array([[0, 0, 32], [0, 0, 24], [0, 0, 0]], np.float32)


@dataclass(frozen=True, slots=True)
class Seed:
    """A valid input, and how it is to be read."""

    data: bytes
    how: dict[str, Any] = field(default_factory=dict)


def packed(write) -> bytes:
    """What `write` puts into a file."""
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def recipes() -> list[Seed]:
    clip = {"frames": 4, "height": 32, "width": 32, "fps": 8}
    scenes = {"kind": "scenes", "clips": 4, "size": 32}
    depth = {"kind": "depth", "height": 8, "width": 8}
    small = {
        "clip": clip,
        "sources": {"s": scenes},
        "backbone": {"kind": "tiny", "dim": 32, "depth": 1, "heads": 2},
        "prompter": {"kind": "tokens"},
        "tasks": {"depth": depth},
        "stages": [{"steps": 2, "lr": 1e-3, "betas": [0.9, 0.95], "warmup": 1}],
    }
    large = small | {
        "held_out": {"h": scenes | {"clips": 2, "only": ["depth"]}},
        "tasks": {"depth": depth | {"far": 9.0}, "normal": {"kind": "normal", "height": 8, "width": 8}},
        "balancer": {"kind": "fixed", "weights": {"depth": 1.0}},
        "evaluate_every": 1,
        "best": {"metric": "h/depth/RMSE_m", "mode": "min"},
        "runtime": {"workers": 1, "precision": "fp32", "data_workers": {"s": 1}},
        "seed": 3,
    }
    sweep = {"search": {"stages.0.lr": {"loguniform": [1e-4, 1e-2]}, "seed": {"choice": [0, 1]}}, "trials": 2}
    sweep |= {"metric": "h/depth/RMSE_m", "mode": "min"}
    found = [Seed(yaml.safe_dump(r, sort_keys=False).encode()) for r in (small, large)]
    return [*found, Seed(yaml.safe_dump(sweep).encode(), {"sweep": yaml.safe_dump(large)})]


def overrides() -> list[Seed]:
    recipe = recipes()[1].data.decode()
    texts = (
        "stages.0.lr=0.1",
        "sources.s.clips=3",
        "tasks.depth={kind: depth, height: 4, width: 4}",
        "backbone={kind: tiny, dim: 16}",
        "seed=7",
    )
    return [Seed(text.encode(), {"recipe": recipe}) for text in texts]


def arrays() -> list[tuple[str, dict[str, Any], np.ndarray]]:
    """label form -> options and a valid array of it."""
    rng = np.random.default_rng(0)
    return [
        ("map", {}, rng.random((FRAMES, HEIGHT, WIDTH), np.float32) + 1),
        ("map", {"scale": 0.001}, rng.integers(1, 9999, (FRAMES, HEIGHT, WIDTH), np.uint16)),
        ("vectors", {}, np.full((FRAMES, HEIGHT, WIDTH, 3), 0.577, np.float32)),
        ("boxes", {}, np.tile(np.array([[2, 3, 20, 18]], np.float32), (FRAMES, 1, 1))),
        ("points", {}, rng.random((FRAMES, 5, 2), np.float32) * 20),
        ("joints", {}, rng.random((FRAMES, 7, 3), np.float32)),
        ("camera", {}, np.tile(np.diag([60, 60, 1]).astype(np.float32) + CENTRE, (FRAMES, 1, 1))),
        ("value", {"framed": True}, np.arange(FRAMES)),
    ]


def npy() -> list[Seed]:
    return [Seed(packed(lambda f, a=a: np.save(f, a)), {"form": form, **more}) for form, more, a in arrays()]


def npz() -> list[Seed]:
    times = np.arange(FRAMES) / 6
    found = [Seed(packed(lambda f, a=a: np.savez(f, a)), {"form": form, **more}) for form, more, a in arrays()]
    small = [(form, more, a) for form, more, a in arrays() if form != "value"]
    return found + [
        Seed(
            packed(lambda f, a=a: np.savez_compressed(f, a=a, t=times)),
            {"form": form, "key": "a", "times": "t", **more},
        )
        for form, more, a in small
    ]


def png() -> list[Seed]:
    from PIL import Image

    rng = np.random.default_rng(0)
    images = [
        Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH), np.uint8)),
        Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH), np.uint16)),
        Image.fromarray(rng.integers(0, 9, (HEIGHT, WIDTH), np.uint8)).convert("P"),
        Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH), np.uint8)).convert("1"),
    ]
    scales: list[dict[str, Any]] = [{"scale": 0.01}, {"scale": 0.001}, {}, {}]  # metres; classes
    pairs = zip(images, scales, strict=True)
    return [Seed(packed(lambda f, i=i: i.save(f, "png")), {"form": "map", **more}) for i, more in pairs]


def label_json() -> list[Seed]:
    found = [(form, more, a.tolist()) for form, more, a in arrays() if form not in ("map", "vectors")]
    ragged: list[Any] = [[[1, 2, 9, 9]], [], None, [[1, 2, 3, 4], [5, 6, 7, 8]], *([[]] * 8)]
    found += [("boxes", {}, ragged), ("boxes", {"key": "rows"}, {"rows": ragged}), ("value", {}, {"text": "a man"})]
    return [Seed(json.dumps(data).encode(), {"form": form, **more}) for form, more, data in found]


def csv() -> list[Seed]:
    plain = b"clip,class\nwalk/c.mp4,walk\n"
    spans = b'clip,class,start,end,caption,speed,split\nwalk/c.mp4,walk,0.1,0.9,"a, man",1.5,train\n'
    spans += b"walk/c.mp4,run,0,,b,,val\n"
    columns = {"columns": {"start": "start", "end": "end"}, "texts": {"say": "caption"}, "numbers": {"v": "speed"}}
    return [
        Seed(plain),
        Seed(spans, columns),
        Seed(spans, columns | {"split": "train"}),
    ]


def stored() -> list[Seed]:
    """The json and the npz of a sample that taskprompt wrote; `others`: the files beside it."""
    from taskprompt.core.types import Boxes, Clip, Joints, Map, Sample
    from taskprompt.video.store import write_sample

    labels: dict[str, Any] = {"depth": Map(np.ones((FRAMES, HEIGHT, WIDTH), np.float32)), "say": "x", "n": 3}
    labels |= {"boxes": Boxes(np.zeros((FRAMES, 2, 4), np.float32)), "plain": np.arange(4)}
    labels |= {"joints": Joints(np.zeros((FRAMES, 4, 3), np.float32), ((0, 1),))}
    video = np.zeros((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        write_sample(folder, "a", Sample("a", Clip(video, np.arange(FRAMES) / 6), labels))
        files = {p.name: p.read_bytes() for p in Path(folder).iterdir()}
    return [Seed(files[name], {"name": name, "others": files}) for name in sorted(files)]


def tables() -> list[Seed]:
    import pyarrow as pa
    from pyarrow import parquet

    from taskprompt.labels import table as lt

    fixed = {"address": "a", "asked": "{}", "used": '{"tokens": 3, "truncated": false}', "time": 1.0}
    values = {"say": "a man", "shape": np.ones((2, 3), np.float32), "both": {"text": "x", "vectors": np.ones((1, 4))}}
    values |= {"data": {"a": [1, 2]}}
    rows = [lt.record(f"k{i}", label, value, **fixed) for i in range(3) for label, value in values.items()]
    rows.append(lt.record("k9", "say", None, **fixed | {"error": "no answer"}))
    table = pa.Table.from_pylist(rows, lt.SCHEMA)
    return [
        Seed(packed(lambda f, c=c: parquet.write_table(table, f, compression=c))) for c in ("zstd", "none", "snappy")
    ]


def tensors() -> dict[str, Any]:
    import torch

    torch.manual_seed(0)
    return OrderedDict((f"blocks.{i}.{n}", torch.randn(4, 4)) for i in range(2) for n in ("weight", "bias"))


def safetensors() -> list[Seed]:
    from safetensors.torch import save

    note = {"taskprompt": json.dumps({"kind": "tiny", "dim": 32})}
    return [Seed(save(dict(tensors()))), Seed(save(dict(tensors()), note))]


def pth() -> list[Seed]:
    import torch

    plain = dict(tensors())
    forms: list[Any] = [
        plain,
        tensors(),
        {"model": plain, "epoch": 3, "args": Namespace(lr=0.1)},
        {"state_dict": {f"module.{k}": v for k, v in plain.items()}, "optimizer": {"state": {0: {"step": 1}}}},
    ]
    found = [Seed(packed(lambda f, d=d: torch.save(d, f))) for d in forms]
    return found + [
        Seed(packed(lambda f, d=d: torch.save(d, f, _use_new_zipfile_serialization=False))) for d in forms[:2]
    ]


def runs() -> list[Seed]:
    """Each small file of a run's folder; `others`: the whole folder as a zip."""
    import taskprompt as tp
    from taskprompt.recipe.files import validate
    from taskprompt.recipe.recipe import Recipe

    data = yaml.safe_load(recipes()[1].data) | {"save_every": 1}
    with tempfile.TemporaryDirectory() as folder:
        run = tp.fit(validate(data, "r", Recipe), Path(folder, "run"), cluster=None, watch=lambda r: None)
        tp.evaluate(run, watch=lambda r: None)
        files = {p.relative_to(run.path).as_posix(): p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    files = {n: d for n, d in files.items() if "tfevents" not in n and not n.startswith(".")}
    return [Seed(files[name], {"name": name, "others": files}) for name in sorted(files)]


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files."""

    def write(file) -> None:
        with zipfile.ZipFile(file, "w", method) as made:
            for name, data in files.items():
                made.writestr(zipfile.ZipInfo(name), data)

    return packed(write)
