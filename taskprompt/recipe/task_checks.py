"""What is wrong between a recipe's tasks and its sources: labels that no source gives, sources that are not there."""

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import nearest, told
from taskprompt.core.task import Task
from taskprompt.recipe.source_labels import Labels

WhyMissing = Callable[[str, str], str]  # source, label -> why the source does not give it; empty where it could not


def task_problems(
    tasks: Mapping[str, Task], clip: ClipSpec, sources: Mapping[str, Labels], held_out: Collection[str], why: WhyMissing
) -> Iterator[str]:
    """All of them, one line each. sources: name -> the labels of the source."""
    for name, task in tasks.items():
        yield from (f"tasks.{name}: {told(error)}" for error in _errors(name, task, clip))
        if not task.labelled and task.label:
            yield f"tasks.{name}.label: found {task.label!r}, but this task reads no label. Remove it."
        for source in task.sources or ():
            if source not in sources and source not in held_out:
                known = dict.fromkeys((*sources, *held_out))
                what = f"{source!r} is not a source{nearest(source, known)}"
                yield f"tasks.{name}.sources: {what} Known: {', '.join(known)}."
        readable = {n: v for n, v in sources.items() if task.sources is None or n in task.sources}
        if not readable:
            yield f"tasks.{name}.sources: none of them is one to train on. Known: {', '.join(sources)}."
        elif not any(all(map(v.may_give, task.required_labels(name))) for v in readable.values()):
            yield from (f"tasks.{name}: {line}" for line in _missing(name, task, readable, why))


def has_views(name: str, task: Task, clip: ClipSpec) -> bool:
    """Does a task cut views of its own from every clip? False where its code fails, which `task_problems` tells."""
    try:
        return not task.labelled and bool(task.checked_views(name, clip, np.random.default_rng(0)))
    except Exception:
        return False


def _errors(name: str, task: Task, clip: ClipSpec) -> Iterator[Exception]:
    """What a task's own code raises where it is asked for its metrics and its views."""
    for call in (task.declared, lambda: task.checked_views(name, clip, np.random.default_rng(0))):
        try:
            call()
        except Exception as error:
            yield error


def _missing(name: str, task: Task, sources: Mapping[str, Labels], why: WhyMissing) -> Iterator[str]:
    offered = sorted({n for labels in sources.values() for n in labels.given})
    required = task.required_labels(name)
    missing = [label for label in required if not any(v.may_give(label) for v in sources.values())]
    for label in missing:
        reasons = "".join(f" sources.{n}: {reason}." for n in sources if (reason := why(n, label)))
        own = "Set `label`, or let" if label == task.label_name(name) else "Its head needs it: let"
        yield (
            f"reads the label {label!r}, which no source gives{nearest(label, offered)} "
            f"Given: {', '.join(offered) or 'none'}.{reasons} {own} a source give it (`only`)."
        )
    if not missing:
        yield (
            f"reads the labels {', '.join(map(repr, required))}, which no source gives together. "
            "Let one source give them all (`only`, `tables`)."
        )
