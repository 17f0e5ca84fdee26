"""Classification of errors on a cluster: an error in recipe, data or code, or a lost process."""

from textwrap import shorten

from torch.distributed import DistError

from taskprompt.core.errors import ClusterError, TaskPromptError

GONE = ("gloo", "Connection closed by peer", "Connection reset by peer")  # in gloo's plain RuntimeErrors
NO_MEMORY = ("OutOfMemory", "out of memory", "running low on memory", "OUT_OF_MEMORY")


def lost(error: BaseException) -> bool:
    """Whether a worker, its node or the connection was lost. Then the job can be restarted; other errors would
    recur."""
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
        what += ", out of memory"
        advice = ". Lower the quotas or runtime.data_workers, raise accumulate, or set runtime.checkpointing"
    return ClusterError(f"{what}: {type(last).__name__}: {shorten(text.rstrip('.'), 200, placeholder=' ...')}{advice}.")


def own_error(error: BaseException) -> TaskPromptError | None:
    """The first taskprompt error among an error and its causes; not Ray's derived classes, whose text is a
    traceback."""
    from ray.exceptions import RayTaskError

    every = inside(error)
    return next((e for e in every if isinstance(e, TaskPromptError) and not isinstance(e, RayTaskError)), None)


def inside(error: BaseException) -> list[BaseException]:
    """An error and its causes, nearest first, including errors wrapped by Ray."""
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
