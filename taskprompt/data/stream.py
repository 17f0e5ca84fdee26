"""Stream: fixed quotas of usable samples, in order, from chunks of any size; counts skipped samples."""

from collections import deque
from collections.abc import Iterator

import numpy as np

from taskprompt.core.errors import ErrorRecord, SourceError
from taskprompt.core.text import one_line
from taskprompt.core.types import Columns


class Stream:
    """Chunks of columns in, quotas of columns out. `cursor` is the first index that was not returned yet."""

    def __init__(self, name: str, chunks: Iterator[Columns], start: int, stride: int, rows: int, max_skipped: float):
        self.name, self.chunks, self.cursor, self.stride = name, chunks, start, stride
        self.rows, self.max_skipped = rows, max_skipped
        self.waiting: deque[Columns] = deque()  # parts of chunks that were not returned yet
        self.skipped: dict[str, str] = {}  # key -> reason

    def take(self, quota: int) -> Columns | None:
        """The next `quota` usable samples; fewer, then None, at the end of the chunks."""
        got, parts, barren = 0, [], 0
        while got < quota:
            if not self.waiting:
                chunk = next(self.chunks, None)
                if chunk is None:
                    break
                self.waiting.append(chunk)
            chunk = self.waiting.popleft()
            good = np.flatnonzero(chunk["error"] == "")
            cut = len(chunk["error"]) if len(good) <= quota - got else int(good[quota - got])
            if cut < len(chunk["error"]):
                self.waiting.appendleft({k: v[cut:] for k, v in chunk.items()})
            self._skip(chunk, np.flatnonzero(chunk["error"][:cut] != ""))
            self.cursor = int(chunk["index"][cut - 1]) + self.stride
            good = good[good < cut]
            got += len(good)
            barren = 0 if len(good) else barren + cut
            if barren > self.rows:
                raise SourceError(f"source {self.name!r}: none of its {self.rows} clips is usable. {self.reasons()}")
            if len(good):
                parts.append(chunk if len(good) == len(chunk["error"]) else {k: v[good] for k, v in chunk.items()})
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}

    def _skip(self, chunk: Columns, at: np.ndarray) -> None:
        for i in at:
            record = ErrorRecord.loads(str(chunk["error"][i]))
            self.skipped[record.key] = one_line(record.text)
        if len(self.skipped) > self.max_skipped * self.rows:
            raise SourceError(
                f"source {self.name!r}: {len(self.skipped)} of {self.rows} clips cannot be used, more than "
                f"max_skipped {self.max_skipped:g}. {self.reasons()} Fix the clips or raise max_skipped."
            )

    def reasons(self) -> str:
        """The first few keys and reasons, for a message."""
        shown = [f"{key}: {why.rstrip('.')}" for key, why in list(self.skipped.items())[:3]]
        return "For example " + "; ".join(shown) + "." if shown else ""
