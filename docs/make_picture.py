"""Draw docs/picture.png: three clips of the `scenes` source in both looks, with the labels that the tasks read.

Run it from the repository's root: `.venv/bin/python docs/make_picture.py`."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from taskprompt import ClipSpec, Dims, Middle, Sample, Source, Task
from taskprompt.evaluation.predict import enlarged

OUT = Path(__file__).with_name("picture.png")
SIZE, TILE, GAP, TITLE = 128, 128, 4, 20  # pixels
FRAMES, SHOWN = 8, 5  # frames of a clip; the one in the picture
CLIP = ClipSpec(frames=FRAMES, height=SIZE, width=SIZE)
ACTIONS = ("kick", "cartwheel", "pick_up")
SEGMENTS = ["floor", "wall", "ceiling", "table", "object", "skin", "hair", "shirt", "trousers", "shoes"]
TASKS = {
    "depth": {"kind": "depth", "height": 64, "width": 64, "far": 6.0},
    "normal": {"kind": "normal", "height": 64, "width": 64},
    "segmentation": {"kind": "segmentation", "height": 64, "width": 64, "classes": SEGMENTS},
    "pose3d": {"kind": "pose3d"},
    "boxes": {"kind": "boxes", "slots": 8},
}


def tiles() -> list[list[tuple[str, np.ndarray]]]:
    """A row a clip: titles and h w 3 uint8 pictures."""
    rows = []
    for action in ACTIONS:
        clean, worn = (load(action, look) for look in ("clean", "worn"))
        row = [("synthetic look", clean.clip.video[SHOWN]), ("real look", worn.clip.video[SHOWN])]
        for name, options in TASKS.items():
            row.append((name, label_picture(Task.model_validate(options), name, clean)))
        rows.append([(title, enlarged(picture[None], TILE)[0]) for title, picture in row])
    return rows


def load(action: str, look: str) -> Sample:
    """A clip of this action; both looks show the same scene."""
    source = Source.model_validate(
        {"kind": "scenes", "clips": 1, "seed": ACTIONS.index(action), "size": SIZE, "look": look, "actions": [action]}
    )
    return source.load(next(iter(source.rows())), CLIP, Middle())


def label_picture(task: Task, name: str, sample: Sample) -> np.ndarray:
    """What the task draws for the label itself."""
    target = task.checked_target(name, sample, Dims(FRAMES, SIZE, SIZE, (1, 1, 1), 1))
    assert target is not None
    output = task.perfect({k: torch.from_numpy(v)[None] for k, v in target.items()})
    assert output is not None
    picture = task.picture(output[0], sample.clip.video)
    assert picture is not None
    return picture[SHOWN]


def sheet(rows: list[list[tuple[str, np.ndarray]]]) -> Image.Image:
    """The rows below one line of titles."""
    columns = len(rows[0])
    out = Image.new("RGB", (columns * (TILE + GAP) - GAP, TITLE + len(rows) * (TILE + GAP) - GAP), "white")
    pen, font = ImageDraw.Draw(out), ImageFont.load_default(14)
    for x, (title, _) in enumerate(rows[0]):
        pen.text((x * (TILE + GAP), 1), title, fill="black", font=font)
    for y, row in enumerate(rows):
        for x, (_, picture) in enumerate(row):
            out.paste(Image.fromarray(picture), (x * (TILE + GAP), TITLE + y * (TILE + GAP)))
    return out


if __name__ == "__main__":
    sheet(tiles()).save(OUT, optimize=True)
