"""A task that ends the process that trains it, once: what clusters do to spot machines, at a step of one's choice."""

import os
import signal
from pathlib import Path

from taskprompt.tasks.depth import Depth

_losses = 0  # that this process has computed


class Mortal(Depth):
    """Depth; the process dies, or raises, in its `after`-th loss, unless `grave` tells that one did already."""

    grave: str
    after: int
    raises: bool = False  # an exception instead of a kill

    def loss(self, output, target):
        global _losses
        _losses += 1
        if _losses == self.after and not Path(self.grave).exists():
            Path(self.grave).touch()
            if self.raises:
                raise RuntimeError("a mistake")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(output, target)
