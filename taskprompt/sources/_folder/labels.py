"""Label files of a clip: PNG, npz, npy and json -> labels of the decoded frames."""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from taskprompt.core.errors import SampleError
from taskprompt.core.types import FORMS, Clip
from taskprompt.sources._folder.arrays import content, frame_list, numbers, pixel_grid
from taskprompt.sources._folder.label_file import LabelFile
from taskprompt.sources._folder.pattern import fill
from taskprompt.video.array_files import present
from taskprompt.video.container import frame_times, probe
from taskprompt.video.conventions import broken
from taskprompt.video.geometry import misshapen

MORE = 1.1  # rows per frame of the video, above which a file belongs to another video or other times


class VideoFile(NamedTuple):
    """A video file, and the demuxers and decoders that may read it."""

    video: Path
    formats: tuple[str, ...]

    def times(self, exact: bool = False) -> np.ndarray:
        """Seconds of each shown frame; `exact`: from decoding, not from packets."""
        return frame_times(self.video, self.formats, exact)

    def duration(self) -> float:
        """Seconds."""
        return _duration(str(self.video), self.formats, self.video.stat().st_mtime_ns)


def read_label(spec: LabelFile, video: Path, clip: Clip, formats: tuple[str, ...] = ()) -> Any | None:
    """The label of a clip's frames, or None if the file is missing. formats: see `ClipSpec.formats`.

    Raises SampleError if it is damaged, does not fit the frames, or violates a convention of its form."""
    video_file = VideoFile(video, formats)
    files = _frame_files(spec, video_file, clip) if spec.by_frame else [_path(spec, video)]
    if not files or not present(files[0]):
        return None

    def align(count: int) -> np.ndarray:
        return _rows(spec, files[0], count, video_file, clip)

    size = clip.video.shape[1:3]
    if spec.form == "value":
        return _value(spec, files, align)
    if spec.form in ("map", "vectors"):
        every = values = pixel_grid(spec, files, len(clip.times), size, align)
    else:
        every, at = frame_list(spec, files, len(clip.times), size, align)
        values = every[at]
    # All rows are checked, not only the clip's: if boxes of some frames are wrong, the whole file is.
    swap = {"swap": spec.swap} if spec.swap else {}
    whole = FORMS[spec.form](every, **swap)
    if problem := misshapen(whole, len(every), *size) or broken(whole, *size):
        raise SampleError(f"{files[0]}: {problem}")
    return whole if values is every else FORMS[spec.form](values, **swap)


def _path(spec: LabelFile, video: Path, frame: int = 0) -> Path:
    return video.parent / fill(spec.file, stem=video.stem, name=video.name, frame=frame)


def _frame_files(spec: LabelFile, video_file: VideoFile, clip: Clip) -> list[Path]:
    """The file of every frame of the clip; empty if all are missing."""
    times, video = video_file.times(), video_file.video
    files = [_path(spec, video, spec.first + i) for i in _nearest(times, clip).tolist()]
    if not any(present(file) for file in set(files)):
        return []
    end = spec.first + len(times)
    if not present(_path(spec, video, end - 1)) or present(_path(spec, video, end)):
        times = video_file.times(exact=True)  # the packets may tell of another number of frames than are shown
        files = [_path(spec, video, spec.first + i) for i in _nearest(times, clip).tolist()]
    there = {file: present(file) for file in set(files)}
    missing = [file for file in files if not there[file]]
    if missing:
        raise SampleError(f"{missing[0]}: is missing, though other frames of {video.name} have theirs.")
    count = len(times)
    if spec.first and present(before := _path(spec, video, spec.first - 1)):
        raise SampleError(f"{before}: is numbered before the first frame, as `first` is {spec.first}. Lower `first`.")
    if not present(_path(spec, video, spec.first)) and present(behind := _path(spec, video, spec.first + count)):
        raise SampleError(
            f"{behind}: is numbered after the last of {count} frames, and the first has no file. Set `first: 1`."
        )
    return files


def _value(spec: LabelFile, files: list[Path], align) -> Any:
    """A plain label: the content of the file, or its entries for the clip's frames."""
    if spec.by_frame:
        loaded = {file: content(file, spec.key) for file in set(files)}
        entries = [loaded[file] for file in files]
        alike = all(isinstance(e, np.ndarray) and e.shape == np.shape(entries[0]) for e in entries)
        return np.stack(entries) if alike else entries
    values = content(files[0], spec.key)
    if not spec.framed:
        return values
    if not (values.ndim if isinstance(values, np.ndarray) else isinstance(values, list)):
        raise SampleError(f"{files[0]}: expected a list with one entry per frame, as `framed` is set.")
    at = align(len(values))
    return [values[i] for i in at.tolist()] if isinstance(values, list) else values[at]


def _rows(spec: LabelFile, file: Path, count: int, video_file: VideoFile, clip: Clip) -> np.ndarray:
    """t: the row of each frame of the clip, among `count`."""
    if spec.times:
        return _nearest_rows(spec.times, file, count, video_file, clip)
    times = video_file.times()
    if count != len(times):  # the packets may tell of another number of frames than are shown
        times = video_file.times(exact=True)
    at = _nearest(times, clip)
    if count <= at.max():
        raise SampleError(
            f"{file}: holds {count} frames, expected at least {at.max() + 1} as in {video_file.video.name}."
        )
    if count > MORE * len(times) + 2:
        raise SampleError(
            f"{file}: holds {count} rows, but {video_file.video.name} has {len(times)} frames, so rows do not match "
            "frames. Store each row's seconds too, and set `times` to their name."
        )
    return at


def _nearest_rows(entry: str, file: Path, count: int, video_file: VideoFile, clip: Clip) -> np.ndarray:
    """t: the row nearest in time to each frame of the clip."""
    seconds = numbers(file, content(file, entry))
    if seconds.shape != (count,) or not count or not np.isfinite(seconds).all():
        raise SampleError(
            f"{file}: `times` {entry!r} has the shape {seconds.shape}, expected ({count},): the seconds of every row."
        )
    lasts = video_file.duration()
    if seconds.min() > lasts + 1 or seconds.max() > 10 * (lasts + 1):
        raise SampleError(
            f"{file}: `times` {entry!r} run from {seconds.min():g} to {seconds.max():g}, but {video_file.video.name} "
            f"lasts {lasts:.3g} s. Store seconds from its first frame, neither milliseconds nor frame numbers."
        )
    return np.abs(seconds[None, :] - clip.times[:, None]).argmin(1)


def _nearest(times: np.ndarray, clip: Clip) -> np.ndarray:
    """t: the index of each frame of the clip in the file, whose frames begin at `times`."""
    return np.abs(times[None, :] - clip.times[:, None]).argmin(1)


@lru_cache(maxsize=1024)
def _duration(video: str, formats: tuple[str, ...], changed: int) -> float:
    return probe(video, formats).duration
