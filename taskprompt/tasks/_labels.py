"""Labels as arrays of numbers; an invalid label is an error of the sample, not of the task."""

from typing import Any

import numpy as np

from taskprompt.core.errors import SampleError


def numbers(label: Any, expected: str) -> np.ndarray:
    """The label as an array of numbers, None as NaN. Raises SampleError with what is expected."""
    try:
        values = np.asarray(label)
        values = values if values.dtype.kind in "buif" else np.asarray(label, np.float32)
    except (TypeError, ValueError, OverflowError):
        raise SampleError(f"found a label of the form {type(label).__name__}, expected {expected}.") from None
    return values
