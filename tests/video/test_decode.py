"""Decoding: exactly which frames come out, of every container and codec at hand, and what broken files say."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from numbered import numbers, picture, write
from PIL import ExifTags, Image, ImageOps

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import LayoutError, SampleError
from taskprompt.core.moment import Random
from taskprompt.video._open import base, opened, origin
from taskprompt.video._pick import Unreliable, _from, _Plan
from taskprompt.video.container import frame_times, probe, timeline, trusted
from taskprompt.video.decode import read_clip, read_times

VP9 = {"deadline": "realtime", "cpu-used": "8"}
VARYING = np.cumsum(np.random.default_rng(0).choice([0.02, 0.033, 0.05, 0.4], 60)).round(3).tolist()
FILES = {
    "b_frames.mp4": ("libx264", {"bf": "3", "g": "25"}),
    "one_group.mp4": ("libx264", {"g": "250"}),
    "open_pyramid.mkv": ("libx264", {"bf": "8", "g": "20", "x264-params": "b-pyramid=normal:open-gop=1"}),
    "plain.avi": ("mpeg4", {"g": "12"}),
    "b_frames.avi": ("mpeg4", {"bf": "2", "g": "12"}),
    "vp9.webm": ("libvpx-vp9", VP9),
    "hidden_frames.webm": ("libvpx-vp9", {"cpu-used": "4", "lag-in-frames": "16", "auto-alt-ref": "1", "g": "30"}),
    "late_start.ts": ("libx264", {"g": "15"}),  # the first time in a transport stream is 1.4 s
    "old.mpg": ("mpeg2video", {"bf": "2"}),
    "no_times.h264": ("libx264", {"g": "15", "bf": "2"}),
    "hevc.mp4": ("libx265", {"x265-params": "log-level=none:bframes=4:keyint=20"}),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    made = {name: write(folder / name, codec, options=options) for name, (codec, options) in FILES.items()}
    for name in ("varying.mp4", "varying.mkv"):
        made[name] = write(folder / name, times=VARYING, options={"bf": "2", "g": "20"})
    assert len(made) == 13
    return made


@pytest.mark.parametrize("name", [*FILES, "varying.mp4", "varying.mkv"])
def test_frames_asked_for_are_the_frames_that_come(clips, name):
    times = frame_times(clips[name])
    assert len(times) == 60
    assert times[0] == 0
    assert numbers(read_times(clips[name], times).video) == list(range(60))
    rng = np.random.default_rng(0)
    gaps = np.diff(np.append(times, times[-1] + 0.03))
    for _ in range(15):
        asked = np.sort(rng.choice(60, rng.integers(1, 12)))
        clip = read_times(clips[name], np.sort(times[asked] + rng.random(len(asked)) * 0.9 * gaps[asked]))
        assert numbers(clip.video) == asked.tolist()
        np.testing.assert_allclose(clip.times, times[asked])


def _planned(path, seconds):
    """Ticks shown, and how many packets were sent to the decoder."""
    with opened(path) as (container, stream):
        ticks = [origin(container, stream) + int(s / base(stream)) for s in seconds]
        read = []
        source = (read.append(p) or p for p in _from(container, stream, ticks[0]))
        plan = _Plan(container, stream, source, lambda *_: None)
        shown = [plan.show(tick) for tick in ticks]
        return shown, len(read) - len(plan.pending)


def test_only_files_without_times_are_decoded_in_order(clips):
    for name in clips.keys() - {"no_times.h264", "b_frames.avi"}:
        assert len(_planned(clips[name], [0.5, 0.7])[0]) == 2
        assert timeline(clips[name]).findable
    with pytest.raises(Unreliable):
        _planned(clips["no_times.h264"], [0.5, 0.7])
    with opened(clips["b_frames.avi"]) as (container, stream):
        assert not trusted(container, stream)


def test_few_packets_are_decoded(tmp_path):
    path = write(tmp_path / "clip.mp4", frames=240, options={"g": "24", "bf": "0"})
    assert numbers(read_times(path, [4.05]).video) == [121]
    assert _planned(path, [4.05])[1] == 2  # the key frame 120, and 121


def test_long_gaps_seek(tmp_path):
    path = write(tmp_path / "long.mp4", frames=240, fps=4, options={"g": "20"})
    assert numbers(read_times(path, [1, 15, 15.25, 50, 59.75]).video) == [4, 60, 61, 200, 239]


def test_windows_and_spans(clips):
    ten = ClipSpec(frames=4, fps=10)  # every third frame of 30 a second
    path = clips["b_frames.mp4"]
    assert numbers(read_clip(path, ten).video) == [24, 27, 30, 33]  # 0.8 s to 1.2 s of 2 s
    assert numbers(read_clip(path, ten, start=0.5, end=0.9).video) == [15, 18, 21, 24]
    assert numbers(read_clip(path, ten, start=1.8).video) == [54, 57, 59, 59]  # shorter: the last frame stays
    assert numbers(read_clip(path, ten, start=0.5, end=0.6).video) == [15, 17, 17, 17]  # the last of the span
    spread = ClipSpec(frames=4, fps=None)
    assert numbers(read_clip(path, spread).video) == [7, 22, 37, 52]
    for seed in range(5):
        first, again = (read_clip(path, ten, Random(np.random.default_rng(seed))) for _ in range(2))
        np.testing.assert_array_equal(first.video, again.video)
        assert set(np.diff(numbers(first.video))) == {3}


@pytest.mark.parametrize(("angle", "expected"), [(90, 1), (180, 2), (-90, 3)])
def test_rotation_marks_are_obeyed(tmp_path, angle, expected):
    path = write(tmp_path / "turned.mp4", frames=5, rotation=angle)
    info, clip = probe(path), read_times(path, [0.1])
    upright = np.rot90(picture(3), expected)
    assert clip.video.shape[1:] == upright.shape
    assert (info.height, info.width) == upright.shape[:2]
    assert np.abs(clip.video[0].astype(int) - upright).mean() < 12


@pytest.mark.parametrize("orientation", [1, 2, 6])
@pytest.mark.parametrize(("suffix", "codec", "form"), [(".avi", "mjpeg", "JPEG"), (".mov", "png", "PNG")])
def test_exif_of_frames_is_obeyed(tmp_path, suffix, codec, form, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    with av.open(str(tmp_path / f"film{suffix}"), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuvj420p" if codec == "mjpeg" else "rgb24"
        for i in range(12):
            data = io.BytesIO()
            Image.fromarray(picture(i)).save(data, form, exif=exif)
            packet = av.Packet(data.getvalue())
            packet.pts = packet.dts = i
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
            container.mux(packet)
    shown = Image.fromarray(picture(3))
    shown.getexif()[ExifTags.Base.Orientation] = orientation
    upright = np.asarray(ImageOps.exif_transpose(shown))
    clip = read_times(tmp_path / f"film{suffix}", [0.12])
    assert clip.video.shape[1:] == upright.shape
    assert np.abs(clip.video[0].astype(int) - upright).mean() < 12


@pytest.mark.parametrize("size", [(66, 98), (98, 66), (34, 130)])
def test_sizes(tmp_path, size):
    path = write(tmp_path / "clip.mp4", frames=6, size=size)
    assert read_times(path, [0.1]).video.shape == (1, *size, 3)
    small = read_times(path, [0, 0.1], short_side=20).video
    assert min(small.shape[1:3]) == 20
    assert abs(small.shape[1] / small.shape[2] - size[0] / size[1]) < 0.03
    assert read_times(path, [0], short_side=500).video.shape == (1, *size, 3)  # never enlarged


def test_probe(clips):
    info = probe(clips["b_frames.mp4"])
    assert (info.duration, info.fps, info.width, info.height, info.frames) == (2, 30, 96, 64, 60)
    assert probe(clips["varying.mkv"]).duration == pytest.approx(VARYING[-1] - VARYING[0], abs=0.05)


def _broken(folder, clips):
    whole = clips["b_frames.mp4"].read_bytes()
    files = {
        "empty.mp4": b"",
        "text.mp4": b"This is not a video.\n" * 200,
        "zeros.mp4": bytes(5000),
        "headless.mp4": whole[: len(whole) // 2],  # its index is at the end
        "beginning.mkv": clips["open_pyramid.mkv"].read_bytes()[:300],
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    Image.fromarray(picture(3)).save(folder / "picture.png")
    (folder / "picture.png").rename(folder / "picture.mp4")
    (folder / "folder.mp4").mkdir()
    return [*files, "picture.mp4", "folder.mp4", "missing.mp4"]


def test_broken_files_say_so_in_one_line(tmp_path, clips):
    names = _broken(tmp_path, clips)
    assert len(names) == 8
    for name in names:
        with pytest.raises(SampleError) as caught:
            read_clip(tmp_path / name, ClipSpec(frames=4))
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_audio_alone(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for i in range(10):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 16000, 1024 * i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(SampleError, match="contains no video, only audio"):
        probe(tmp_path / "sound.mp4")


def test_cut_off_files_are_read_as_far_as_they_go(tmp_path):
    whole = write(tmp_path / "whole.mp4", frames=240, options={"g": "12"}, muxer={"movflags": "faststart"})
    data = whole.read_bytes()
    frames = data.index(b"mdat")  # the index lies before
    for name, share in (("most.mp4", 0.7), ("little.mp4", 0.3)):
        (tmp_path / name).write_bytes(data[: frames + int((len(data) - frames) * share)])
    late = ClipSpec(frames=8, fps=None)
    clip = read_clip(tmp_path / "most.mp4", late)
    assert numbers(clip.video)[-1] < 200
    assert len(set(numbers(clip.video))) == 8
    with pytest.raises(SampleError, match="cut off"):
        read_clip(tmp_path / "little.mp4", late)
    with pytest.raises(SampleError, match="cut off"):
        read_times(tmp_path / "little.mp4", [1, 6, 7])


def test_damage_in_the_middle_is_survived(tmp_path):
    path = write(tmp_path / "clip.mp4", frames=120, options={"g": "12"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = np.random.default_rng(0).bytes(400)
    path.write_bytes(data)
    assert read_times(path, np.arange(0, 4, 0.25)).video.shape == (16, 64, 96, 3)


def test_any_damage_gives_a_clip_or_one_line(tmp_path, clips):
    rng = np.random.default_rng(0)
    clip_frames, lines = [], []
    for i in range(300):
        source = list(clips.values())[i % len(clips)]
        data = bytearray(source.read_bytes())
        for _ in range(rng.integers(1, 20)):
            at, length = int(rng.integers(len(data))), int(rng.integers(1, 60))
            data[at : at + length] = rng.bytes(length) if rng.random() < 0.5 else b""
        path = tmp_path / f"damaged{source.suffix}"
        path.write_bytes(data)
        try:
            clip_frames.append(len(read_clip(path, ClipSpec(frames=4, fps=(5, None)[i % 2]), Random(rng)).video))
        except SampleError as error:
            lines.append(str(error))
    assert set(clip_frames) == {4}
    assert min(len(clip_frames), len(lines)) > 30
    assert not any("\n" in line for line in lines)


def test_times_must_ascend(clips):
    with pytest.raises(LayoutError, match="must ascend"):
        read_times(clips["plain.avi"], [0.5, 0.4])
