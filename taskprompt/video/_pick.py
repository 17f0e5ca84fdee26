"""Decode exactly the frames that are shown at given ticks, and little else."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from taskprompt.video.container import base, opened, origin, packets, rate

JUMP = 12  # packets that must be saved before a decoder is emptied and started again at a later key frame
FAR = 10  # seconds between two wanted frames from which seeking beats reading on

Keep = Callable[[VideoFrame], None]


def pick(container: InputContainer, stream: VideoStream, ticks: list[int], keep: Keep) -> tuple[list[int], int | None]:
    """For each ascending tick, the pts of the frame shown then: the last that begins no later, or the first of all.

    `keep` gets every frame that is shown, at least once. Second: the end of the last frame where the file ended
    before it was certain what comes next, else None.
    """
    far = round(FAR / base(stream))
    runs: list[list[int]] = [[ticks[0]]]
    for tick in ticks[1:]:
        runs.append([tick]) if tick - runs[-1][-1] > far else runs[-1].append(tick)
    shown: list[int] = []
    end = None
    for run in runs:
        got, end = _run(container, stream, run, keep)
        shown += got
    return shown, end


def _run(container: InputContainer, stream: VideoStream, ticks: list[int], keep: Keep) -> tuple[list[int], int | None]:
    found: set[int] = set()

    def note(frame: VideoFrame) -> None:
        found.add(frame.pts)  # type: ignore[arg-type]
        keep(frame)

    source = _from(container, stream, ticks[0])
    plan = _Plan(stream, source, note)
    try:
        shown = [plan.show(tick) for tick in ticks]
        plan.drain()
    except _NoTimes:
        shown = []
    if shown and found.issuperset(shown):
        return shown, plan.end
    return _straight(container.name, ticks, keep)


class _NoTimes(Exception):
    """Packets without distinct times: only decoding in order can tell which frame is which."""


class _Plan:
    """A decoder that is told, packet by packet, what may be skipped; it looks ahead to know."""

    def __init__(self, stream: VideoStream, source: Iterator[av.Packet], keep: Keep):
        self.decoder, self.source, self.keep = stream.codec_context, source, keep
        self.ahead = stream.codec_context.reorder_depth + 2  # later packets that make an earlier one impossible
        self.pending: list[av.Packet] = []  # read, not yet sent
        self.times: set[int] = set()  # of the packets that may still be shown, sent or not
        self.frames: dict[int, VideoFrame] = {}  # decoded, may still be shown
        self.shown: set[int] = set()
        self.started = False
        self.end: int | None = None
        self._last_end = 0

    def show(self, tick: int) -> int:
        """The pts of the frame shown at a tick no earlier than the one before; it is decoded or on its way."""
        self._look_ahead(tick)
        if not self.times:
            raise _NoTimes
        pts = max((t for t in self.times if t <= tick), default=min(self.times))
        self.times = {t for t in self.times if t >= pts}
        self.shown.add(pts)
        at = next((i for i, p in enumerate(self.pending) if p.pts == pts), -1)
        for packet in self.pending[: at + 1]:
            self._send(packet, needed=packet.pts >= pts)  # type: ignore[operator]
        del self.pending[: at + 1]
        if pts in self.frames:
            self.keep(self.frames[pts])
        self.frames = {t: f for t, f in self.frames.items() if t >= pts}
        return pts

    def drain(self) -> None:
        """Fetch what the decoder still holds."""
        self._send(None, needed=True)
        self.decoder.flush_buffers()

    def _look_ahead(self, tick: int) -> None:
        later = sum(t > tick for t in self.times)
        while later < self.ahead:
            packet = next(self.source, None)
            if packet is None:
                self.end = self._last_end
                return
            if packet.pts is None or packet.pts in self.times:
                raise _NoTimes
            self._last_end = max(self._last_end, packet.pts + (packet.duration or 0))
            if packet.is_keyframe and packet.pts <= tick and (not self.started or len(self.pending) > JUMP):
                self._jump()
            self.pending.append(packet)
            self.times.add(packet.pts)
            later += packet.pts > tick

    def _jump(self) -> None:
        """Forget what lies before the key frame that comes now: nothing before it will be shown any more."""
        if self.started:
            self.drain()
        self.pending.clear()
        self.times.clear()
        self.frames.clear()

    def _send(self, packet: av.Packet | None, needed: bool) -> None:
        self.started = True
        # A frame that no other refers to costs nothing where it is not shown.
        self.decoder.skip_frame = "DEFAULT" if needed else "NONREF"
        for frame in _decode(self.decoder, packet):
            if frame.pts in self.shown:
                self.keep(frame)
            elif frame.pts is not None:
                self.frames[frame.pts] = frame


def _decode(decoder, packet: av.Packet | None) -> list[VideoFrame]:
    """The frames that come out; none for a packet that is damaged, as a player would have it."""
    try:
        return decoder.decode(packet)
    except FFmpegError:
        return []


def _from(container: InputContainer, stream: VideoStream, tick: int) -> Iterator[av.Packet]:
    """Packets from a key frame at or before the tick on."""
    first = origin(container, stream)
    second = round(1 / base(stream))
    for back in (0, 5, 60):
        target = tick - back * second
        if target <= first + second // 2:
            break
        try:
            container.seek(target, stream=stream)
        except FFmpegError:  # this file can only be read on
            return packets(container, stream)
        source = packets(container, stream)
        packet = next(source, None)
        # An index may be wrong, or absent: some demuxers then land late, or between key frames.
        if packet is not None and packet.is_keyframe and packet.pts is not None and packet.pts <= tick:
            return chain([packet], source)
    with suppress(FFmpegError):
        container.seek(min(0, first), stream=stream)
    return packets(container, stream)


def _straight(path: str, ticks: list[int], keep: Keep) -> tuple[list[int], int | None]:
    """The same by decoding every frame in order from the start, for files whose packets do not say enough."""
    with opened(path) as (container, stream):
        return _in_order(container, stream, ticks, keep)


def _in_order(
    container: InputContainer, stream: VideoStream, ticks: list[int], keep: Keep
) -> tuple[list[int], int | None]:
    step = round(1 / rate(stream) / base(stream))
    shown: list[int] = []
    last: VideoFrame | None = None
    count = 0
    for packet in chain(packets(container, stream), [None]):
        for frame in _decode(stream.codec_context, packet):
            if frame.pts is None:
                frame.pts = count * step + origin(container, stream)
            while last is not None and len(shown) < len(ticks) and ticks[len(shown)] < frame.pts:
                keep(last)
                shown.append(last.pts)  # type: ignore[arg-type]
            last, count = frame, count + 1
            if len(shown) == len(ticks):
                return shown, None
    if last is None or last.pts is None:
        return [], 0
    keep(last)
    return shown + [last.pts] * (len(ticks) - len(shown)), last.pts + step
