"""Frames and label rows of one file, by the library and by plain decoding."""

import traceback
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
from numbered import BITS, bars, in_order

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SampleError
from taskprompt.core.moment import Middle, Random
from taskprompt.sources._folder.label_file import LabelFile
from taskprompt.sources.folder import Folder
from taskprompt.video.container import frame_times
from taskprompt.video.decode import read_times

ALIKE = 10  # levels by which a bar's brightness may differ: scaling and conversion of colours
SPREAD = ClipSpec(frames=6, height=64, width=64, fps=None)
WINDOW = ClipSpec(frames=5, height=64, width=64, fps=12.5)


class Differs(Exception):
    """The library shows another frame, or another number of frames."""


def plain(path: Path) -> np.ndarray:
    """n, BITS: the bars of every frame that plain decoding shows; none where it fails."""
    shown: list[np.ndarray] = []
    with suppress(Exception):  # whatever PyAV raises: it shows no more than this
        shown.extend(bars(frame) for frame in in_order(path))
    return np.stack(shown) if shown else np.empty((0, BITS))


def formats(path: Path) -> tuple[str, ...]:
    """A file's demuxer and decoder, as for `ClipSpec.formats`."""
    try:
        with av.open(str(path)) as container:
            decoders = {s.codec_context.codec.name for s in container.streams.video if s.codec_context}
            return *container.format.name.split(","), *sorted(decoders)
    except Exception:
        return ()


def compare(path: Path, truth: np.ndarray, allowed: tuple[str, ...] = ()) -> tuple[str, str]:
    """What the library does with a file, as one of the sweep's words, and its reason.

    truth: from `plain`. allowed: see `ClipSpec.formats`."""
    try:
        _frames(path, truth, allowed)
        _rows(path, truth, allowed)
    except SampleError as error:
        if "clip.formats" in str(error):
            return "not allowed", str(error)
        return ("refused", str(error)) if len(truth) else ("shows nothing", str(error))
    except Differs as error:
        return "wrong", str(error)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return "wrong", f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
    return "equal", ""


def _frames(path: Path, truth: np.ndarray, allowed: tuple[str, ...]) -> None:
    """All frames at once, and some alone: these are reached from a key frame before them."""
    times = frame_times(path, allowed)
    if len(times) != len(truth):
        raise Differs(f"{len(times)} frames, plain decoding shows {len(truth)}")
    if not (np.diff(times) > 0).all():
        raise Differs("times do not ascend")
    last = len(times) - 1
    every = list(range(last + 1))
    for at in (every, [last], [last // 2], [last // 3, 2 * last // 3], every[1::7] or [0]):
        clip = read_times(path, times[at], formats=allowed)
        _same(f"frames {_short(at)}", np.asarray(at), clip.video, truth)
        if not np.allclose(clip.times, times[at]):
            raise Differs(f"frames {_short(at)}: times {clip.times.tolist()}, expected {times[at].tolist()}")


def _rows(path: Path, truth: np.ndarray, allowed: tuple[str, ...]) -> None:
    """A label file whose row i holds i: the row beside a frame is the number of that frame."""
    times = frame_times(path, allowed)
    np.save(path.with_name(f"{path.stem}.rows.npy"), np.arange(len(truth)))
    span = f"{path.name},{times[len(times) // 3]:.4f},{times[-1]:.4f}\n" if len(times) > 3 else ""
    path.with_name("clips.csv").write_text(f"clip,start,end\n{path.name},,\n{span}")
    label = LabelFile(form="value", file="{stem}.rows.npy", framed=True)
    source = Folder(path=str(path.parent), csv="clips.csv", labels={"row": label})
    for row in source.rows():
        for spec, moment in ((SPREAD, Middle()), (SPREAD, Random(np.random.default_rng(0))), (WINDOW, Middle())):
            sample = source.load(row, spec.model_copy(update={"formats": allowed}), moment)
            _same(f"rows of {row['key']}", sample.labels["row"], sample.clip.video, truth)


def _same(what: str, at: np.ndarray, video: np.ndarray, truth: np.ndarray) -> None:
    shown = np.stack([bars(frame) for frame in video])
    wrong = np.abs(shown - truth[at]).max(1) > ALIKE
    if wrong.any():
        raise Differs(f"{what}: numbered {_read(truth[at[wrong]])}, shown {_read(shown[wrong])}")


def _read(shown: np.ndarray) -> str:
    return _short(((shown > 127) @ (1 << np.arange(BITS)[::-1])).tolist())


def _short(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (f", ... ({len(numbers)})" if len(numbers) > 8 else "")
