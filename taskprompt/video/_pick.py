"""Decode the frames that are shown at given ticks, with as few other frames as possible."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from taskprompt.video._open import base, is_hidden, origin, packets
from taskprompt.video.container import REORDER, decoded

JUMP = 12  # packets to skip from which on restarting the decoder at a later key frame pays off
FAR = 10  # seconds between two wanted frames from which on seeking is faster than reading
AHEAD = REORDER + 2  # packets to look ahead: none after these can be shown earlier

Keep = Callable[[int, VideoFrame], None]


class Unreliable(Exception):
    """The packets' time stamps or key frame flags are wrong, so the file must be decoded in order."""


def pick(container: InputContainer, stream: VideoStream, ticks: list[int], keep: Keep) -> tuple[list[int], int | None]:
    """For each ascending tick, the pts of the frame shown then: the last that begins no later, or the first of all.

    `keep` is called with every shown frame and its pts, at least once. Second result: the end of the last frame if the
    file ended before the next frame was known, else None. Raises Unreliable."""
    far = round(FAR / base(stream))
    runs: list[list[int]] = [[ticks[0]]]
    for tick in ticks[1:]:
        runs.append([tick]) if tick - runs[-1][-1] > far else runs[-1].append(tick)
    shown: list[int] = []
    end = None
    for run in runs:
        plan = _Plan(container, stream, _from(container, stream, run[0]), keep)
        shown += [plan.show(tick) for tick in run]
        plan.drain()
        if not plan.kept.issuperset(plan.shown):
            raise Unreliable("a packet without its frame")
        end = plan.end
    return shown, end


class _Plan:
    """A decoder that looks ahead in packets to skip frames that are not needed."""

    def __init__(self, container: InputContainer, stream: VideoStream, source: Iterator[av.Packet], keep: Keep):
        self.stream, self.decoder, self.source, self.keep = stream, stream.codec_context, source, keep
        self.first = origin(container, stream)
        self.pending: list[av.Packet] = []  # read, not yet sent
        self.times: set[int] = set()  # of the packets that may still be shown, sent or not
        self.frames: dict[int, VideoFrame] = {}  # decoded, may still be shown
        self.shown: set[int] = set()  # pts of the requested frames
        self.kept: set[int] = set()  # those of them that were decoded
        self.started = False
        self.entry: int | None = None  # pts of the key frame at which decoding began
        self.decided: int | None = None  # the last tick whose frame is certain: no packet at or before it may follow
        self.last: int | None = None  # pts of the last decoded frame
        self.end: int | None = None
        self._last_end = 0

    def show(self, tick: int) -> int:
        """The pts of the frame shown at a tick, not before the last one; the frame is decoded or in the decoder."""
        self._look_ahead(tick)
        if not self.times:
            raise Unreliable("no packets")
        pts = max((t for t in self.times if t <= tick), default=min(self.times))
        if self.entry is None or pts > max(tick, self.first):
            raise Unreliable("packets from the middle of a group, or from after the tick")
        self.decided = tick
        self.times = {t for t in self.times if t >= pts}
        self.shown.add(pts)
        at = next((i for i, p in enumerate(self.pending) if p.pts == pts), -1)
        for packet in self.pending[: at + 1]:
            self._send(packet, needed=packet.pts >= pts)  # type: ignore[operator]
        del self.pending[: at + 1]
        if pts in self.frames:
            self._keep(self.frames[pts])
        self.frames = {t: f for t, f in self.frames.items() if t >= pts}
        return pts

    def drain(self) -> None:
        """Fetch the remaining frames of the decoder."""
        self._send(None, needed=True)
        self.decoder.flush_buffers()

    def _look_ahead(self, tick: int) -> None:
        later = sum(t > tick for t in self.times)
        while later < AHEAD:
            packet = next(self.source, None)
            if packet is None:
                self.end = self._last_end
                return
            pts = packet.pts
            if pts is None or pts in self.times or (self.decided is not None and pts <= self.decided):
                raise Unreliable("time stamps that are missing, repeat or fall")
            enters = not self.started or len(self.pending) > JUMP
            if packet.is_keyframe and pts <= max(tick, self.first) and enters:
                self._jump(pts)
            self.pending.append(packet)
            if not is_hidden(packet, self.stream):
                self._last_end = max(self._last_end, pts + (packet.duration or 0))
                self.times.add(pts)
                later += pts > tick

    def _jump(self, entry: int) -> None:
        """Drop everything before the next key frame: no earlier frame is needed."""
        if self.started:
            self.drain()
        self.entry = entry
        self.pending.clear()
        self.times.clear()
        self.frames.clear()

    def _send(self, packet: av.Packet | None, needed: bool) -> None:
        self.started = True
        # Frames that no other frame refers to need not be decoded if they are not shown.
        self.decoder.skip_frame = "DEFAULT" if needed else "NONREF"
        for frame in decoded(self.decoder, packet):
            if frame.pts is None or (self.last is not None and frame.pts <= self.last):
                raise Unreliable("frames whose time stamps fall")
            if frame.pts == self.entry and frame.pict_type not in (PictureType.I, PictureType.NONE):
                raise Unreliable("a packet that is wrongly flagged as a key frame")
            self.last = frame.pts
            if frame.pts in self.shown:
                self._keep(frame)
            else:
                self.frames[frame.pts] = frame

    def _keep(self, frame: VideoFrame) -> None:
        self.kept.add(frame.pts)  # type: ignore[arg-type]
        self.keep(frame.pts, frame)  # type: ignore[arg-type]


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
        # An index may be wrong or missing: some demuxers then seek too far, or between key frames.
        if packet is not None and packet.is_keyframe and packet.pts is not None and packet.pts <= tick:
            return chain([packet], source)
    with suppress(FFmpegError):
        container.seek(min(0, first), stream=stream)
    return packets(container, stream)
