"""Checks of the conventions of spatial labels; messages name the conventions of other tools that the values look
like."""

import numpy as np

from taskprompt.core.types import Boxes, Camera, Form, Joints, Points, Vectors

NOISE = 1e-3  # tolerance in pixels for the order of a box's corners
BIT_MORE = 1.05  # largest relative coordinate; detectors give slightly more than 1
LENGTH = 0.1  # tolerance of a unit vector's length
SHORT = 0.2  # share of vectors that may be shorter: scaled normal maps have averages of two directions
FAR = 50.0  # metres, above which joints are probably in millimetres or centimetres


def broken(label: Form, height: int, width: int) -> str:
    """The problem with a label's values, and the likely reason; empty if there is none.

    The frames' height and width are in pixels. The label's shape was checked before."""
    values = label.values
    if isinstance(label, Points | Joints):
        beyond = [pair for pair in label.swap if not all(0 <= i < values.shape[1] for i in pair)]
        if beyond:
            return f"`swap` holds {beyond[0]}, but there are only {values.shape[1]} points."
    match label:
        case Vectors():
            return _vectors(values)
        case Boxes():
            return _boxes(values, height, width)
        case Points():
            return _points(values, height, width)
        case Joints():
            return _joints(values)
        case Camera():
            return _camera(values)
        case _:
            return ""


def _vectors(values: np.ndarray) -> str:
    """Vectors with another length than 1; a vector of NaN is unknown."""
    if values.dtype.kind in "bui":
        return f"holds whole numbers up to {values.max(initial=0)}, expected unit vectors.{_COLOURS}"
    with np.errstate(over="ignore", invalid="ignore"):  # comparisons with NaN are False
        square = np.einsum("...i,...i->...", values, values, dtype=np.float32)
        known = square.size - int(np.isnan(square).sum())
        if known and not (values < 0).any() and _unit(2 * values - 1):
            return f"holds no number below 0, but unit vectors (n + 1) / 2.{_COLOURS}"
        too_long, too_short = square > (1 + LENGTH) ** 2, square < (1 - LENGTH) ** 2
    if not too_long.any() and too_short.sum() <= SHORT * known:
        return ""
    strange = np.sqrt(square[too_long] if too_long.any() else square[too_short])
    lowest, highest = np.nanmin(values), np.nanmax(values)
    hint = _COLOURS if lowest >= 0 and highest <= 255 else " Divide each by its length."
    return f"holds a vector of length {strange[0]:.3g}, expected 1 (NaN where unknown).{hint}"


def _unit(values: np.ndarray) -> bool:
    """Whether nearly all known vectors have length 1."""
    off = np.abs(np.sqrt(np.einsum("...i,...i->...", values, values)) - 1)
    return bool((off[~np.isnan(off)] < LENGTH / 2).mean() > 1 - SHORT)


_COLOURS = (
    " Normals that are stored as colours are (n + 1) / 2, times 255 in bytes: store n itself, -1 to 1, in the camera's "
    "axes (x right, y down, z forward)."
)


def _boxes(values: np.ndarray, height: int, width: int) -> str:
    if np.isinf(values).any():
        return "holds an infinite corner. Give a box of NaN (null) where an object is not visible."
    known = values[~np.isnan(values).any(-1)].astype(np.float64)
    turned = (known[:, 2:] < known[:, :2] - NOISE).any(-1)
    if turned.any():
        return (
            f"holds the box {_listed(known[turned][0])}, whose x1 y1 are less than its x0 y0; expected x0 y0 x1 y1. "
            "Boxes of COCO are x y width height: set `box: xywh`. (`box: cxcywh`: centre and size.)"
        )
    real = known[(known[:, 2:] > known[:, :2]).all(-1)]
    if len(real) and _relative(real, height, width):
        return f"holds the box {_listed(real[0])}, and no corner above {real.max():.3g}; expected pixels.{_RELATIVE}"
    middles = (real[:, :2] + real[:, 2:]) / 2
    return _outside(middles, "boxes", height, width) or _beyond(real, height, width)


_RELATIVE = " If they are relative to the frame's size, 0 to 1, set `relative: true`."


def _points(values: np.ndarray, height: int, width: int) -> str:
    if np.isinf(values).any():
        return "holds an infinite point. Give NaN (null) for one that is not known."
    known = values[~np.isnan(values).any(-1)].astype(np.float64)
    real = known[(known != 0).any(-1)]  # many tools write 0 0 for a point that is not known
    if len(real) and _relative(real, height, width):
        return f"holds the point {_listed(real[0])}, and none above {real.max():.3g}; expected pixels.{_RELATIVE}"
    return _outside(real, "points", height, width)


def _relative(values: np.ndarray, height: int, width: int) -> bool:
    """Whether all are in 0..1, for frames of more than a few pixels."""
    return min(height, width) >= 8 and values.min() >= 1 - BIT_MORE and values.max() <= BIT_MORE


def _outside(middles: np.ndarray, what: str, height: int, width: int) -> str:
    """Whether most of them are outside of the frames. Objects may leave a frame, but not most objects in most
    frames."""
    out = np.any((middles < 0) | (middles > (width, height)), -1)
    if len(middles) < 4 or out.mean() <= 0.5:
        return ""
    return (
        f"{out.sum()} of its {len(middles)} {what} are outside of the frames of {height} x {width}, one at "
        f"{_listed(middles[out][0])}. They may be for another resolution of the video, or in another order of numbers."
    )


def _beyond(boxes: np.ndarray, height: int, width: int) -> str:
    """Whether a corner is more than a whole frame outside."""
    size = np.array([width, height] * 2)
    far = ((boxes < -size) | (boxes > 2 * size)).any(-1)
    if not far.any():
        return ""
    return (
        f"holds the box {_listed(boxes[far][0])}, far outside of the frames of {height} x {width}. It may be for "
        "another resolution of the video, or in other units than pixels."
    )


def _joints(values: np.ndarray) -> str:
    if np.isinf(values).any():
        return "holds an infinite joint. Give NaN (null) for one that is not known."
    known = np.abs(values[~np.isnan(values).any(-1)])
    most = float(np.median(known.max(-1))) if len(known) else 0.0
    if most <= FAR:
        return ""
    return (
        f"half of its joints are {most:.4g} or more away, expected metres. Set `scale: 0.001` for millimetres, 0.01 "
        "for centimetres; joints in pixels are `form: points`."
    )


def _camera(values: np.ndarray) -> str:
    """A matrix of only NaN is unknown."""
    known = values[~np.isnan(values).all((-2, -1))]
    if not np.isfinite(known).all():
        return "holds a matrix with numbers that are not finite. Give NaN (null) for all nine where it is unknown."
    for matrix in known:
        focal, last = np.diagonal(matrix)[:2], matrix[2]
        if np.abs(last - (0, 0, 1)).max() > 1e-3 or abs(matrix[1, 0]) > 1e-3 * max(1.0, float(abs(focal[1]))):
            return (
                f"holds the matrix {_listed(matrix)}, expected intrinsics: fx s cx; 0 fy cy; 0 0 1. "
                "A transposed matrix has cx cy in its last row."
            )
        if (focal <= 0).any():
            return (
                f"has the focal lengths {_listed(focal)}, expected some above 0: x runs to the right, y down, and z "
                "forward, as in OpenCV."
            )
        if focal.max() <= 8 and np.abs(matrix[:2, 2]).max() <= 1.5:
            return f"has the focal lengths {_listed(focal)}, expected pixels. Multiply by the frame's width and height."
    return ""


def _listed(values: np.ndarray) -> str:
    return " ".join(f"{v:.6g}" for v in np.ravel(values))
