"""Predict: what a trained model sees in one video, as data and as pictures."""

import json
import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError, WriteError, nearest
from taskprompt.core.files import parse_json, replacing, write, writing
from taskprompt.core.text import printable
from taskprompt.core.types import Sample
from taskprompt.evaluation.given_labels import given_labels
from taskprompt.evaluation.load import load_model
from taskprompt.nn.compiled import compiler_told
from taskprompt.nn.precision import autocast
from taskprompt.recipe.recipe import Recipe
from taskprompt.recipe.runtime import torch_threads
from taskprompt.runs.run import Run
from taskprompt.video.augment import augment, squared
from taskprompt.video.decode import read_clip

PICTURE = 256  # pixels of a picture's shorter side, at least: lines and letters need room that a small clip lacks

Inputs = dict[str, dict[str, Tensor]]  # task -> name -> 1 ...


def predict(
    run: Run, clip: Path, out: Path | None = None, inputs: Mapping[str, Any] | Path | None = None
) -> dict[str, Any]:
    """Show a run's newest weights the middle of a video, resized and cropped like a held-out clip.

    inputs: the labels that heads read (`Task.input_labels`), as `given_labels` says; they move with the pixels.

    Writes, in `out` or beside the video, `<name>.taskprompt.json` and for every learned task that can draw its output
    `<name>.<task>.taskprompt.mp4` (h264, at the clip's own speed), or a png where a clip is one frame; `<name>` is the
    video's, with its suffix. No source reads such files as videos, and none but an earlier prediction of the same
    video is replaced. Returns what the json holds: clip, run, checkpoint, times (seconds of the frames seen), answers
    (task -> Task.answer, for tasks that have one), files (what -> path) and left_out (task -> why it did not run).

    Raises SampleError for a video that cannot be read, SpecError for inputs that no head reads or where no head can run
    without, CheckpointError for a run without weights, WriteError where the results cannot be written, or another file
    is in their place."""
    recipe = run.recipe
    sample = middle_clip(recipe, clip, inputs)
    read, left_out = head_inputs(recipe, sample)
    outputs = predict_clip(run, recipe, sample.clip.video, read)
    folder = clip.absolute().parent if out is None else out.absolute()
    name = printable(clip.name)
    answers, pictures = {}, {}
    files = {"json": folder / f"{name}.taskprompt.json"}
    large, rate = enlarged(sample.clip.video), frame_rate(recipe.clip, sample.clip.times)
    for task, output in outputs.items():
        answer = recipe.tasks[task].answer(output)
        if answer is not None:
            answers[task] = answer
        picture = recipe.tasks[task].picture(output, large)
        if picture is not None:
            pictures[task] = picture
            files[task] = folder / f"{name}.{task}.taskprompt{suffix_of(picture)}"
    result = {
        "clip": printable(str(clip.absolute())),
        "run": printable(str(run.path)),
        "checkpoint": run.checkpoint().name,
        "times": [round(float(t), 4) for t in sample.clip.times],
        "answers": answers,
        "files": {what: printable(str(file)) for what, file in files.items()},
        "left_out": left_out,
    }
    with writing(folder, "Choose another folder with --out."):
        check_free(clip, files)
        folder.mkdir(parents=True, exist_ok=True)
        write(files["json"], json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        for task, picture in pictures.items():
            write_picture(files[task].with_suffix(""), picture, rate)
    return result


def check_free(clip: Path, files: dict[str, Path]) -> None:
    """Raise WriteError where a file to be written is there, and is not of an earlier prediction of the clip."""
    there = [file for file in files.values() if os.path.lexists(file)]
    try:
        old = parse_json(files["json"].read_bytes()) if there else {}
        own = set(old["files"].values()) if old and old["clip"] == printable(str(clip.absolute())) else set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        own = set()
    taken = [file for file in there if printable(str(file)) not in own]
    if taken:
        raise WriteError(f"{taken[0]}: is there already, and is not of {clip}. Choose another folder with --out.")


def middle_clip(recipe: Recipe, path: Path, inputs: Mapping[str, Any] | Path | None = None) -> Sample:
    """The middle of a video as the recipe's model takes it, with the labels that are given with it.

    Raises SampleError where it, or a label, cannot be used, and SpecError for labels that no learned task reads."""
    if inputs is None:
        # Twice the model's size is all that the resize can use; a large video is scaled down while it is decoded.
        clip = read_clip(path, recipe.clip, short_side=2 * max(recipe.clip.height, recipe.clip.width))
        return augment(Sample(path.name, clip), recipe.clip)
    clip = read_clip(path, recipe.clip, stored=True)  # places in the labels are in pixels of the file
    labels = given_labels(inputs, clip)
    known = sorted({label for task in recipe.learned().values() for label in task.input_labels()})
    for label in sorted(labels.keys() - set(known)):
        read = f"Read: {', '.join(known)}." if known else "No task of this run reads inputs: leave --inputs out."
        raise SpecError(f"--inputs: no head reads the label {label!r}{nearest(label, known)} {read}")
    return augment(squared(Sample(path.name, clip, labels)), recipe.clip)


def head_inputs(recipe: Recipe, sample: Sample) -> tuple[Inputs, dict[str, str]]:
    """What the heads of learned tasks read of a sample, and why others cannot run: task -> the labels that are missing.

    Raises SpecError where none can run, and SampleError for a label that a task cannot use."""
    read, left_out, dims = Inputs(), dict[str, str](), recipe.dims()
    for name, task in ((n, t) for n, t in recipe.learned().items() if t.inputs):
        found = task.checked_inputs(name, sample, dims)
        if found is None:
            missing = [label for label in task.input_labels() if sample.labels.get(label) is None]
            left_out[name] = f"labels that its head reads are missing: {', '.join(missing)}. Give them as inputs."
        else:
            read[name] = {k: torch.from_numpy(np.ascontiguousarray(v))[None] for k, v in found.items()}
    if left_out.keys() == recipe.learned().keys():
        raise SpecError("\n".join(f"task {name!r}: {why}" for name, why in left_out.items()))
    return read, left_out


@torch.inference_mode()
def predict_clip(run: Run, recipe: Recipe, video: np.ndarray, inputs: Inputs | None = None) -> dict[str, Tensor]:
    """t h w c uint8 -> learned task -> that clip's output, float32 on the CPU; a GPU computes it if asked for.

    A task whose head reads inputs that are not given is left out."""
    device = recipe.runtime.device(fallback=True)
    model = load_model(run, device)
    read = {n: {k: v.to(device) for k, v in arrays.items()} for n, arrays in (inputs or {}).items()}
    rows = {n: torch.zeros(1, dtype=torch.long, device=device) for n, t in recipe.learned().items() if not t.inputs}
    rows |= {n: torch.zeros(1, dtype=torch.long, device=device) for n in read}
    with torch_threads(recipe.runtime.threads), autocast(device, recipe.runtime.precision), compiler_told():
        outputs = model(torch.from_numpy(np.ascontiguousarray(video)).to(device)[None], rows, read)
    return {name: outputs[name][0].float().cpu() for name in recipe.learned() if name in outputs}


def enlarged(video: np.ndarray, side: int = PICTURE) -> np.ndarray:
    """t h w c -> the same frames with a shorter side of `side` pixels or more, height and width even as h264 wants."""
    height, width = video.shape[1:3]
    scale = max(1.0, side / min(height, width))
    size = tuple(2 * round(scale * n / 2) for n in (width, height))
    frames = [Image.fromarray(f).resize(size, Image.Resampling.BICUBIC) for f in video]
    return np.stack([np.asarray(f) for f in frames])


def write_picture(path: Path, picture: np.ndarray, rate: Fraction) -> Path:
    """Frames t h w c uint8, `rate` a second -> path.mp4, or path.png where there is one; the file written."""
    file = path.with_name(path.name + suffix_of(picture))
    if len(picture) == 1:
        with replacing(file) as draft:
            Image.fromarray(picture[0]).save(draft)
        return file
    picture = picture[:, : picture.shape[1] // 2 * 2, : picture.shape[2] // 2 * 2]
    with replacing(file) as draft, av.open(str(draft), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = *picture.shape[1:3], "yuv420p"
        for pixels in picture:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        container.mux(stream.encode(None))
    return file


def suffix_of(picture: np.ndarray) -> str:
    """Of the file that holds frames t h w c."""
    return ".png" if len(picture) == 1 else ".mp4"


def frame_rate(clip: ClipSpec, times: np.ndarray) -> Fraction:
    """Frames a second of a clip as it was filmed; one at least, for players stumble over slower ones."""
    span = float(times[-1] - times[0])
    rate = clip.fps or ((len(times) - 1) / span if span > 0 else 1.0)
    return max(Fraction(rate).limit_denominator(1000), Fraction(1))
