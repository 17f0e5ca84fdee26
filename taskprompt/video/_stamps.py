"""Time stamps of the shown frames of a file: missing ones, ones in decoding order, ones that FFmpeg extrapolates."""

import numpy as np
from av.container import InputContainer
from av.format import Flags

REORDER = 16  # most frames that a decoder may delay: H.264's and HEVC's limit
ROUNDED = 2  # ticks by which equal steps differ, since time stamps are whole numbers


def counted(container: InputContainer, ticks: np.ndarray) -> bool:
    """Does FFmpeg extrapolate time stamps from where reading begins, so that they may differ after a seek?

    It does where the container has none. A program stream has them for some frames only: extrapolating from another
    of these gives the same result only if all frames last equally long, which they do not where packets are lost."""
    uneven = len(ticks) > 1 and np.ptp(np.diff(ticks)) > ROUNDED
    return bool(container.format.flags & Flags.no_timestamps.value or (container.format.name == "mpeg" and uneven))


def filled(stamps: list[int | None], step: int, start: int) -> np.ndarray:
    """n time stamps; missing ones are one frame after the previous, or before the first known one."""
    known = next((i for i, pts in enumerate(stamps) if pts is not None), None)
    last = start - step if known is None else stamps[known] - (known + 1) * step  # type: ignore[operator]
    filled = []
    for pts in stamps:
        last = last + step if pts is None else pts
        filled.append(last)
    return np.asarray(filled, np.int64)


def ascending(ticks: np.ndarray, step: int, far: int | None, gap: int) -> np.ndarray:
    """Time stamps in display order -> strictly ascending ones.

    Stamps in decoding order are permuted among neighbours. A jump back, or by more than `far`, begins a new recording,
    which continues where the previous one ended. A repeated stamp is moved by `gap`."""
    order = np.argsort(ticks, kind="stable")
    if (ticks[order] == ticks).all() and far is None and (np.diff(ticks) > 0).all():
        return ticks
    if len(np.unique(ticks)) == len(ticks) and 0 < np.abs(order - np.arange(len(ticks))).max() <= REORDER:
        return ticks[order]
    shown, offset = [int(ticks[0])], 0
    for before, tick in zip(ticks.tolist(), ticks[1:].tolist(), strict=False):
        if tick < before - 2 * step or (far is not None and tick - before > far):
            offset += before + step - tick
        shown.append(max(shown[-1] + gap, tick + offset))
    return np.asarray(shown, np.int64)
