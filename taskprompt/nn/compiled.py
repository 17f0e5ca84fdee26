"""Errors of torch.compile, if a recipe uses it, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from taskprompt.core.errors import ClusterError


@contextmanager
def compiler_told() -> Iterator[None]:
    """Around passes of an encoder that may be compiled: an error of torch.compile becomes a ClusterError."""
    try:
        yield
    except RuntimeError as error:
        from torch._dynamo.exc import TorchDynamoException

        if not isinstance(error, TorchDynamoException):
            raise
        what = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise ClusterError(
            f"torch.compile failed here: {what}. Install a C++ compiler (g++) where none is found, or do without "
            "(runtime.compile: false)."
        ) from error
