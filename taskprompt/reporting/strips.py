"""Strips: what the model sees in a few held-out clips, beside the labels, one picture a clip."""

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from taskprompt.core.model import MultiTaskModel
from taskprompt.core.task import Task
from taskprompt.core.text import one_line
from taskprompt.core.types import Columns
from taskprompt.data.batch import collate
from taskprompt.data.reader import Reader, stack
from taskprompt.evaluation.evaluate import held_out_readers
from taskprompt.evaluation.predict import enlarged
from taskprompt.nn.compiled import compiler_told
from taskprompt.nn.precision import autocast
from taskprompt.recipe.recipe import Recipe

CLIPS = 3  # a source
CANDIDATES = 4  # read for each clip shown, to find one of another class
FRAMES = 4  # of a clip
TILE = 128  # pixels of a frame's height in the picture
GAP = 4  # pixels between frames
TITLE = 26  # pixels of the line above a row
GREY = (138, 143, 152, 255)  # of the letters, on light and dark


@dataclass(frozen=True, slots=True)
class Strip:
    """One clip of a held-out source as a png, a `data:` URI, its rows named within."""

    source: str
    key: str
    image: str
    width: int  # pixels
    height: int
    tasks: tuple[str, ...]  # drawn


def strips(model: MultiTaskModel, recipe: Recipe, device: torch.device, count: int = CLIPS) -> list[Strip]:
    """A few clips of every held-out source, of different classes where it names classes.

    Raises SourceError where a source cannot be listed; a clip that cannot be read is passed over."""
    found = []
    for name, reader in held_out_readers(recipe).items():
        for columns in chosen(reader, count):
            rows = picture_rows(model, recipe, reader, columns, device)
            if not rows:  # no clip is read here but for views, of which nothing is drawn
                continue
            image = laid_out(rows)
            tasks = tuple(dict.fromkeys(t.split(":")[0] for t, _ in rows if t != "clip"))
            found.append(Strip(name, str(columns["key"]), data_uri(image), *image.size, tasks))
    return found


def chosen(reader: Reader, count: int) -> list[Columns]:
    """Up to `count` usable clips, spread over the listing, whose whole-number targets (classes) differ if they can."""
    kept: dict[tuple, list[Columns]] = {}
    for position in spread(len(reader), count * CANDIDATES):
        columns = reader.read(position)
        if not str(columns["error"]):
            kept.setdefault(classes_of(columns), []).append(columns)
        if len(kept) == count:
            break
    rounds = max((len(group) for group in kept.values()), default=0)
    return [group[i] for i in range(rounds) for group in kept.values() if i < len(group)][:count]


def spread(length: int, count: int) -> list[int]:
    """Up to `count` places in 0 to length - 1: first the ends, then the middles between those taken, so any start of
    the list is spread out too."""
    order, steps = dict.fromkeys([0, length - 1] if length else []), 2
    while len(order) < min(length, count):
        order |= dict.fromkeys(round(i * (length - 1) / steps) for i in range(1, steps))
        steps *= 2
    return list(order)[:count]


def classes_of(columns: Columns) -> tuple[int, ...]:
    """The targets that are one whole number a clip."""
    return tuple(int(v) for k, v in columns.items() if "/" in k and v.ndim == 0 and np.issubdtype(v.dtype, np.integer))


@torch.inference_mode()
def picture_rows(
    model: MultiTaskModel, recipe: Recipe, reader: Reader, columns: Columns, device: torch.device
) -> list[tuple[str, np.ndarray]]:
    """One clip -> (title, frames t h w c): the clip, then what each learned task predicts, and its label if known.

    A task whose head reads inputs is shown for clips that have them and its label; a task that cuts views of its own,
    on the first of these."""
    batch = collate([stack([columns])], reader.tasks).to(device)
    learned = {n: t for n, t in recipe.learned().items() if n in reader.views or "video" in columns}
    rows = {n: torch.zeros(1, dtype=torch.long, device=device) for n, t in learned.items() if not t.inputs}
    rows |= {n: batch.rows[n] for n in batch.inputs if len(batch.rows[n])}
    rows |= {n: batch.rows[n][:1] for n in reader.views}
    rows = {n: at for n, at in rows.items() if len(at)}
    with autocast(device, recipe.runtime.precision), compiler_told():
        outputs = model.eval()(batch.video, rows, batch.inputs)
    pictures = [("clip", enlarged(columns["video"], TILE))] if "video" in columns else []
    for name, task in ((n, t) for n, t in learned.items() if n in outputs):
        video = enlarged(batch.video[rows[name][0]].cpu().numpy(), TILE)
        known = name in batch.rows and len(batch.rows[name])
        target = {k: v[:1].cpu() for k, v in batch.targets[name].items()} if known else None
        pictures += task_rows(name, task, outputs[name].float().cpu(), target, video)
    return pictures


def task_rows(
    name: str, task: Task, output: Tensor, target: Mapping[str, Tensor] | None, video: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """What one task predicts for one clip, and its label drawn the same way; nothing where it draws no pictures."""
    predicted = task.picture(output[0], video)
    if predicted is None:
        return
    yield f"{name}: predicted", predicted
    perfect = task.perfect(dict(target)) if target is not None else None
    drawn = task.picture(perfect[0], video) if perfect is not None else None
    if drawn is not None:
        yield f"{name}: label", drawn


def laid_out(rows: list[tuple[str, np.ndarray]]) -> Image.Image:
    """Rows of frames under their titles, FRAMES of each, evenly spread; transparent where nothing is."""
    tiles = [(title, [tile(f) for f in frames[shown(len(frames))]]) for title, frames in rows]
    width = max(sum(t.width + GAP for t in line) - GAP for _, line in tiles)
    sheet = Image.new("RGBA", (width, len(tiles) * (TITLE + TILE + GAP) - GAP))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for i, (title, line) in enumerate(tiles):
        top = i * (TITLE + TILE + GAP)
        pen.text((0, top + 2), one_line(title), fill=GREY, font=font)
        left = 0
        for picture in line:
            sheet.paste(picture, (left, top + TITLE))
            left += picture.width + GAP
    return sheet


def shown(frames: int) -> list[int]:
    """Which frames of a clip stand in its strip: the middles of FRAMES equal parts."""
    count = min(FRAMES, frames)
    return [int((i + 0.5) * frames / count) for i in range(count)]


def tile(frame: np.ndarray) -> Image.Image:
    """h w 3 -> a picture of the strip's height."""
    height, width = frame.shape[:2]
    return Image.fromarray(frame).resize((max(1, round(width * TILE / height)), TILE), Image.Resampling.BICUBIC)


def data_uri(image: Image.Image) -> str:
    """The picture as png within a URI, so that the page needs no other file."""
    file = io.BytesIO()
    image.save(file, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
