"""Frame i is the i-th frame that players show: containers x codecs x what recorders, cutters and joiners leave."""

from pathlib import Path

import av
import numpy as np
import pytest
from av.error import FFmpegError
from av.stream import Disposition
from numbered import in_order, numbers, picture, remux, write

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SampleError
from taskprompt.video.container import frame_times, probe
from taskprompt.video.decode import read_clip, read_times

CODECS = {
    "h264": ("libx264", {"g": "12", "bf": "3", "x264-params": "open-gop=1:b-pyramid=normal"}),
    "refresh": ("libx264", {"g": "12", "bf": "0", "x264-params": "intra-refresh=1"}),
    "hevc": ("libx265", {"x265-params": "log-level=none:bframes=4:keyint=12"}),
    "mpeg4": ("mpeg4", {"g": "12", "bf": "2"}),
    "mpeg2": ("mpeg2video", {"g": "12", "bf": "2"}),
    "vp8": ("libvpx", {"cpu-used": "4", "lag-in-frames": "16", "auto-alt-ref": "1", "g": "30"}),
    "vp9": ("libvpx-vp9", {"cpu-used": "8", "lag-in-frames": "16", "auto-alt-ref": "1", "g": "30"}),
    "ffv1": ("ffv1", {"g": "1"}),
}
FILES = [
    *(("h264", s) for s in (".mp4", ".mkv", ".avi", ".ts", ".flv", ".mpg", ".h264")),
    *(("refresh", s) for s in (".mp4", ".avi")),
    *(("hevc", s) for s in (".mov", ".mkv", ".ts")),
    *(("mpeg4", s) for s in (".mp4", ".avi", ".mkv")),
    *(("mpeg2", s) for s in (".mpg", ".ts", ".mkv", ".mxf")),
    *(("vp8", s) for s in (".webm", ".avi")),
    *(("vp9", s) for s in (".webm", ".mp4")),
    *(("ffv1", s) for s in (".avi", ".mkv")),
]
CHANGES = {
    "whole": {},
    "between_keys": {"first": 17},  # recordings that begin between key frames
    "edit_list": {"first": 0, "shift": -0.2, "muxer": {"avoid_negative_ts": "disabled"}},  # mp4 hides these frames
    "late": {"shift": 3.0},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("shown")


def check(path: Path) -> int:
    """How many frames are shown; each comes by its number, and some by their times alone."""
    times, shown = frame_times(path), np.stack(list(in_order(path)))
    assert len(times) == len(shown)
    assert (np.diff(times) > 0).all()
    np.testing.assert_array_equal(read_times(path, times).video, shown)
    for at in ([2, 27], [len(shown) - 3], [7, 8, 20, 25]):
        clip = read_times(path, times[at])
        np.testing.assert_array_equal(clip.video, shown[at])
        np.testing.assert_allclose(clip.times, times[at])
    return len(shown)


def check_each(path: Path) -> int:
    """How many frames are shown; each comes by its time alone, from the key frame before it."""
    times, shown = frame_times(path), np.stack(list(in_order(path)))
    for i, frame in enumerate(shown):
        np.testing.assert_array_equal(read_times(path, times[[i]]).video[0], frame)
    return len(shown)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("codec", "suffix"), FILES)
def test_frame_i_is_the_i_th_frame_shown(folder, codec, suffix, change):
    whole = folder / f"{codec}{suffix}"
    if not whole.exists():
        write(whole, CODECS[codec][0], options=CODECS[codec][1])
    path = whole if change == "whole" else folder / f"{codec}_{change}{suffix}"
    try:
        if change != "whole":
            remux(whole, path, **CHANGES[change])
    except (FFmpegError, ValueError, OSError):
        assert suffix in (".mpg", ".mxf", ".h264", ".flv", ".ts", ".avi", ".webm")  # these cannot hold all changes
        return
    count = check(path)
    assert 28 <= count <= 60
    if change == "whole":
        assert numbers(in_order(path)) == list(range(60))


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        *(("libx264", s) for s in (".mxf", ".avi", ".h264", ".ts", ".mp4", ".flv")),
        *(("mpeg1video", s) for s in (".m1v", ".mpg", ".mkv")),
        *(("mpeg2video", s) for s in (".m2v", ".mxf", ".avi")),
    ],
)
def test_the_first_frames_need_not_tell_of_b_frames(tmp_path, codec, suffix):
    options = {"g": "30", "bf": "2"} | ({"x264-params": "b-adapt=0"} if codec == "libx264" else {})
    path = write(tmp_path / f"film{suffix}", codec, options=options, no_b=30)
    assert check(path) == check_each(path) == 60


@pytest.mark.parametrize("suffix", [".mpg", ".ts", ".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_frames_behind_lost_packets(tmp_path, suffix, b_frames):
    whole = write(tmp_path / f"whole{suffix}", "mpeg4", options={"g": "12", "bf": b_frames})
    path = remux(whole, tmp_path / f"cut{suffix}", lost=(20, 33))
    assert check(path) == check_each(path) == 58


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".ts"), ("hevc", ".ts"), ("mpeg2", ".mpg"), ("mpeg4", ".ts")])
def test_joined_recordings_go_on(tmp_path, codec, suffix):
    parts = [
        write(tmp_path / f"{n}{suffix}", CODECS[codec][0], frames=30, options=CODECS[codec][1], first=first)
        for n, first in (("a", 0), ("b", 30))
    ]
    path = tmp_path / f"joined{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    times = frame_times(path)
    assert numbers(read_times(path, times).video) == list(range(60))
    assert times[-1] == pytest.approx(59 / 30, abs=0.02)
    spread = numbers(read_clip(path, ClipSpec(frames=8, fps=None)).video)
    np.testing.assert_allclose(spread, [3, 11, 18, 26, 33, 41, 48, 56], atol=1)


def test_every_packet_marked_as_a_key_frame(tmp_path):
    path = write(tmp_path / "film.mp4", "mpeg4", options={"g": "60"})
    data = path.read_bytes()
    at = data.index(b"stss")
    path.write_bytes(data[:at] + b"free" + data[at + 4 :])  # without a table of key frames, every sample is one
    assert numbers(read_times(path, [0.5, 1.5]).video) == [15, 45]
    check(path)


def test_the_picture_decides_where_the_film_begins_and_ends(tmp_path):
    film = write(tmp_path / "film.mp4", options={"g": "12", "bf": "2"})
    eight = ClipSpec(frames=8, fps=None)
    for suffix in (".mkv", ".mp4", ".ts"):
        longer = remux(film, tmp_path / f"longer{suffix}", sound=(0, 20))
        assert probe(longer).duration == pytest.approx(2, abs=0.07)
        np.testing.assert_allclose(numbers(read_clip(longer, eight).video), [3, 11, 18, 26, 33, 41, 48, 56], atol=1)
    for suffix in (".mkv", ".mp4", ".ts"):
        late = remux(film, tmp_path / f"late{suffix}", shift=2, sound=(0, 4))
        assert frame_times(late)[0] == pytest.approx(2, abs=0.1)
        assert all(27 <= n <= 45 for n in numbers(read_clip(late, eight, start=3, end=3.5).video))
        with pytest.raises(SampleError, match=r"has frames from 2\.\d+ to 4\.\d+ s; the span 0\.5 to 1\.5 s has none"):
            read_clip(late, eight, start=0.5, end=1.5)


def test_a_palette_is_sent_once(tmp_path):
    assert check(write(tmp_path / "film.mov", "qtrle", pixels="gray")) == 60  # 8 bits a pixel, with a table of greys


def test_gifs_in_an_edit_list_are_not_hidden(tmp_path):
    whole = write(tmp_path / "whole.mov", "gif", pixels="rgb8")
    path = remux(whole, tmp_path / "cut.mov", **CHANGES["edit_list"])
    assert frame_times(path)[0] == pytest.approx(-0.2, abs=0.01)
    assert check(path) == check_each(path) == 60


def _two_films(path: Path, small_first: bool, default: int | None, rates: tuple[int, int] = (30, 30)) -> Path:
    sizes = [(24, 32), (64, 96)] if small_first else [(64, 96), (24, 32)]
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=rate, options={"g": "12"}) for rate in rates]
        for stream, size in zip(streams, sizes, strict=True):
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for i, stream in enumerate(streams):
            stream.disposition = Disposition.default if i == default else Disposition(0)
        for i in range(60):
            for stream, size, rate in zip(streams, sizes, rates, strict=True):
                if i < 2 * rate:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(i, *size), format="rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def test_the_film_is_the_default_stream_or_the_one_of_most_pixels(tmp_path):
    assert probe(_two_films(tmp_path / "a.mkv", True, 1)).width == 96
    assert probe(_two_films(tmp_path / "b.mkv", False, 1)).width == 32
    assert probe(_two_films(tmp_path / "c.mkv", True, None)).width == 96
    assert probe(_two_films(tmp_path / "d.mkv", False, None)).width == 96
    preview = _two_films(tmp_path / "e.mkv", False, None, rates=(1, 30))  # large, but a picture a second
    assert probe(preview).fps == 30


@pytest.mark.parametrize(("aspect", "shown"), [((2, 1), (192, 64)), ((1, 2), (96, 128)), ((100, 99), (96, 64))])
def test_pixels_are_shown_square(tmp_path, aspect, shown):
    path = write(tmp_path / "film.mp4", aspect=aspect)
    info, clip = probe(path), read_times(path, [0.5])
    assert (info.width, info.height) == shown
    assert clip.video.shape[1:3] == shown[::-1]
    assert numbers(clip.video) == [15]
    kept = read_clip(path, ClipSpec(frames=2, fps=None), stored=True)
    assert kept.video.shape[1:3] == (64, 96)
    assert kept.aspect == pytest.approx(shown[0] * 64 / (96 * shown[1]))


def _flic(frames: int = 3, height: int = 24, width: int = 32) -> bytes:
    """An Autodesk animation, whose decoder is not allowed."""
    body = b""
    for i in range(frames):
        pixels = bytes([40 * i]) * (height * width)
        chunk = (6 + len(pixels)).to_bytes(4, "little") + (16).to_bytes(2, "little") + pixels
        body += (
            (16 + len(chunk)).to_bytes(4, "little") + (0xF1FA).to_bytes(2, "little") + b"\1".ljust(10, b"\0") + chunk
        )
    head = b"".join(n.to_bytes(2, "little") for n in (0xAF12, frames, width, height, 8, 3, 33))
    return (128 + len(body)).to_bytes(4, "little") + head.ljust(124, b"\0") + body


def test_decoders_and_containers_are_those_of_a_list(tmp_path):
    alone, inside = tmp_path / "alone.mp4", tmp_path / "inside.mov"
    alone.write_bytes(_flic())
    # A film's index that names another decoder: FFmpeg follows the name, whatever the suffix says.
    inside.write_bytes(write(tmp_path / "film.mov", frames=6).read_bytes().replace(b"avc1", b"flic"))
    two = ClipSpec(frames=2, fps=None)
    with pytest.raises(SampleError, match=r"not a video in an allowed container.*clip\.formats"):
        read_clip(alone, two)
    with pytest.raises(SampleError, match=r"its video is flic.*clip\.formats"):
        read_clip(inside, two)
    assert read_clip(alone, ClipSpec(frames=2, fps=None, formats=("flic",))).video.shape == (2, 24, 32, 3)


def test_any_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("12:30:05.mp4", "concat:a.mp4", "{}.mp4", "caf\udce9.mp4", "a\nb.mp4", "%03d.mp4"):
        Path("film.mp4").unlink(missing_ok=True)
        write(tmp_path / "film.mp4", frames=6).rename(name)
        assert numbers(read_times(name, [0.1]).video) == [3]
