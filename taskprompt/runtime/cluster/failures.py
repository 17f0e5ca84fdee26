"""What went wrong on a cluster: a mistake of recipe, data or code, or a process that was lost."""

from textwrap import shorten

from torch.distributed import DistError

from taskprompt.core.errors import ClusterError, TaskPromptError

GONE = ("gloo", "Connection closed by peer", "Connection reset by peer")  # what gloo says, as a plain RuntimeError
NO_MEMORY = ("OutOfMemory", "out of memory", "running low on memory", "OUT_OF_MEMORY")


def lost(error: BaseException) -> bool:
    """Did a worker, its node or the way to it vanish? Then the same job may go on; a mistake would come again."""
    from ray.exceptions import RayError, RayTaskError

    from taskprompt.runtime.cluster._ray_private import LOST_WORKERS

    every = inside(error)
    if own_error(error) is not None:
        return False
    return any(
        isinstance(e, (*LOST_WORKERS, DistError))
        or (isinstance(e, RayError) and not isinstance(e, RayTaskError))
        or (isinstance(e, RuntimeError) and any(word in str(e) for word in GONE))
        for e in every
    )


def plain_error(error: BaseException) -> TaskPromptError:
    """The taskprompt error inside what Ray raised, or a ClusterError with the last line of the cause."""
    found = own_error(error)
    if found is not None:
        return found
    last = next((e for e in reversed(inside(error)) if str(e).strip()), error)
    lines = str(last).strip().splitlines() or [""]
    what, text = ("a worker or its node was lost", lines[0]) if lost(error) else ("the job ended", lines[-1])
    advice = ""
    if any(word in str(e) for e in inside(error) for word in NO_MEMORY):
        what += " for want of memory"
        advice = ". Lower the quotas or runtime.data_workers, raise accumulate, or set runtime.checkpointing"
    return ClusterError(f"{what}: {type(last).__name__}: {shorten(text.rstrip('.'), 200, placeholder=' ...')}{advice}.")


def own_error(error: BaseException) -> TaskPromptError | None:
    """The first taskprompt error among an error and what it came from; not Ray's hybrids, whose text is a traceback."""
    from ray.exceptions import RayTaskError

    every = inside(error)
    return next((e for e in every if isinstance(e, TaskPromptError) and not isinstance(e, RayTaskError)), None)


def inside(error: BaseException) -> list[BaseException]:
    """An error and all that it came from, nearest first, through Ray's own wrappings."""
    seen: list[BaseException] = []
    queue: list[BaseException] = [error]
    while queue:
        current = queue.pop(0)
        if any(current is e for e in seen):
            continue
        seen.append(current)
        inner = [getattr(current, "cause", None), current.__cause__, current.__context__]
        inner += [*getattr(current, "worker_failures", {}).values(), getattr(current, "controller_failure", None)]
        queue += [e for e in inner if isinstance(e, BaseException)]
    return seen
