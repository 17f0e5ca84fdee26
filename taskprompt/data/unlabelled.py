"""Tasks or classes that get no label: a typo or an empty column would otherwise train nothing without a word."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from taskprompt.data.reader import Reader
from taskprompt.recipe.recipe import Recipe, Stage


def epoch_steps(recipe: Recipe, stage: Stage, readers: Mapping[str, Reader]) -> dict[str, int]:
    """task -> optimizer steps of a stage in which all clips of all sources that give the task's label have come."""
    found: dict[str, int] = {}
    for name, source in recipe.stage_sources(stage).items():
        clips, a_step = len(readers[name]) * source.repeats, source.quota * stage.accumulate
        for task in recipe.tasks_of(name, source).keys() & set(recipe.stage_tasks(stage)):
            found[task] = max(found.get(task, 1), -(-clips // a_step))
    return found


def unseen_classes(recipe: Recipe, readers: Mapping[str, Reader]) -> Iterator[str]:
    """A line for every task some of whose classes no training clip has, where all sources tell their clips' classes."""
    for name, task in recipe.tasks.items():
        label = task.label_name(name)
        found = [r.source.values(r.table).get(label) for r in readers.values() if name in r.tasks]
        if not found or any(values is None for values in found):
            continue
        missing = task.unseen(set().union(*(values for values in found if values)))
        if missing:
            few = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            yield f"task {name!r}: no training clip is of the class{'es' * (len(missing) > 1)} {few}."


class Unlabelled:
    """Counts, over one stage, the steps since each task had a label."""

    def __init__(self, recipe: Recipe, index: int, readers: Mapping[str, Reader], before: Iterable[Mapping[str, Any]]):
        """before: the lines of metrics.jsonl of the steps of this stage that are made."""
        self.stage, self.steps = index, recipe.stages[index].steps
        self.epochs = epoch_steps(recipe, recipe.stages[index], readers)
        self.tasks = {n: recipe.tasks[n] for n in self.epochs}
        self.made = 0
        self.last = dict.fromkeys(self.epochs, 0)  # the step of a task's last label; 0: it had none in this stage
        for line in before:
            self.step(n for n in self.epochs if f"loss/{n}" in line)

    def step(self, labelled: Iterable[str]) -> list[str]:
        """Take in the tasks that had a label in one more step; returns what is to be told now, a line a task.

        A task is told of once for each time that it goes an epoch without a label, and at the end of a stage in which
        it had none."""
        self.made += 1
        self.last |= dict.fromkeys(set(labelled) & self.last.keys(), self.made)
        told = []
        for task, last in self.last.items():
            # Every epoch has an order of its own: but for the very first, only in two epochs does one clip surely come.
            enough = self.epochs[task] * (1 if not last and not self.stage else 2)
            if self.made - last == enough:
                told.append(self._line(task, f"in {enough} steps, an epoch of the sources that give it"))
            elif self.made == self.steps and not last and enough > self.steps:
                told.append(self._line(task, f"in all {self.steps} steps of stage {self.stage}"))
        return told

    def _line(self, task: str, when: str) -> str:
        required = self.tasks[task].required_labels(task)
        if not required:
            return f"task {task!r} learned nothing: no clip was long enough for its views {when}. Check its options."
        what = "its label" if len(required) == 1 else f"all of its labels ({', '.join(required)})"
        return f"task {task!r} learned nothing: no clip had {what} {when}. Check the names of labels, and the labels."
