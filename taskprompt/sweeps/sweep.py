"""Sweep: a hyperparameter search over one or several recipes, in one yaml: search space, metric and early stopping."""

import json
import math
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from taskprompt.core.errors import SpecError
from taskprompt.core.spec import Spec
from taskprompt.recipe.files import change, dump, read, validate
from taskprompt.recipe.recipe import Recipe

MOST_TRIALS = 100_000  # of a sweep


class Range(Spec):
    """The search space of a field: exactly one of choice, uniform, loguniform and integer."""

    choice: tuple[Any, ...] | None = Field(default=None, min_length=1)  # values of any type; null removes an entry
    uniform: tuple[float, float] | None = None  # lowest and highest
    loguniform: tuple[float, float] | None = None  # lowest and highest, above 0; uniform in the logarithm
    integer: tuple[int, int] | None = None  # lowest and highest
    step: float | None = Field(default=None, gt=0)  # of uniform and integer: lowest, lowest + step, ...; null: any

    @model_validator(mode="after")
    def _one_form(self) -> "Range":
        given = [n for n in ("choice", "uniform", "loguniform", "integer") if getattr(self, n) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise SpecError(f"found {found}, expected one of choice, uniform, loguniform, integer.")
        if self.choice is not None:
            if len({json.dumps(v) for v in self.choice}) < len(self.choice):
                raise SpecError("choice lists a value twice. Remove one.")
        elif not self.low < self.high:
            raise SpecError(f"found [{self.low:g}, {self.high:g}], expected two numbers, the lower one first.")
        elif self.loguniform and self.low <= 0:
            raise SpecError(f"found [{self.low:g}, {self.high:g}], expected two numbers above 0.")
        if self.step is not None:
            self._check_step(given[0])
        return self

    def _check_step(self, form: str) -> None:
        if form not in ("uniform", "integer"):
            raise SpecError(f"{form} takes no step. Remove it, or list the values as a choice.")
        assert self.step is not None
        if form == "integer" and self.step != int(self.step):
            raise SpecError(f"step: found {self.step:g}, expected a whole number.")
        steps = (self.high - self.low) / self.step
        if not math.isclose(steps, round(steps), abs_tol=1e-9) or round(steps) < 1:
            last = self.low + max(1, math.floor(steps)) * self.step
            raise SpecError(f"{self.high:g} is not {self.low:g} plus steps of {self.step:g}. Set it to {last:g}.")

    @property
    def low(self) -> float:
        """The lowest number."""
        return (self.uniform or self.loguniform or self.integer or (0, 0))[0]

    @property
    def high(self) -> float:
        """The highest number."""
        return (self.uniform or self.loguniform or self.integer or (0, 0))[1]

    def edges(self) -> tuple[Any, ...]:
        """Every choice, or the two ends."""
        return self.choice if self.choice is not None else (self.low, self.high)

    def grid(self) -> tuple[Any, ...] | None:
        """Every value; None if there are infinitely many."""
        if self.choice is not None or self.size is None:
            return self.choice
        step = self.step or 1
        values = [self.low + i * step for i in range(self.size)]
        return tuple(int(v) if self.integer else v for v in values)

    @property
    def size(self) -> int | None:
        """The number of values of `grid`, without listing them."""
        if self.choice is not None:
            return len(self.choice)
        step = self.step or (1 if self.integer else None)
        return None if step is None else round((self.high - self.low) / step) + 1

    def distribution(self):
        """As an Optuna distribution. Choices are encoded as json, since a value may be a list."""
        from optuna import distributions as d  # takes a second to load

        if self.choice is not None:
            return d.CategoricalDistribution([json.dumps(v) for v in self.choice])
        if self.integer:
            return d.IntDistribution(int(self.low), int(self.high), step=int(self.step or 1))
        return d.FloatDistribution(self.low, self.high, log=self.loguniform is not None, step=self.step)

    def encode(self, value: Any) -> Any:
        """A value as Optuna's."""
        return json.dumps(value) if self.choice is not None else value

    def decode(self, known: Any) -> Any:
        """The inverse of `encode`."""
        return json.loads(known) if self.choice is not None else known


class Asha(Spec):
    """Asynchronous successive halving: at each rung, only the best trials that have reached it continue."""

    grace: int = Field(ge=1)  # steps of the first rung; further rungs are at grace x reduction, x reduction^2, ...
    reduction: float = Field(default=3.0, gt=1)  # the best 1 / reduction of the trials at a rung continue


class Sweep(Spec):
    """The content of a sweep's yaml file."""

    recipe: str | tuple[str, ...]  # the recipe's yaml file, or several to try; relative to the sweep's file
    overrides: dict[str, Any] = {}  # field -> value, the same for all trials: evaluate_every, stages.0.steps
    search: dict[str, Range] = {}  # field -> search space; "a.b, c.d" sets two fields to the same value, as for folds
    metric: str  # ranks trials: source/task/metric, as in held_out.jsonl
    mode: Literal["max", "min"] | None = None  # whether higher or lower is better; null: as its task declares
    trials: int | None = Field(
        default=None, ge=1, le=MOST_TRIALS
    )  # number of trials; for a grid, the number of its combinations
    searcher: Literal["optuna", "random", "grid"] = "optuna"  # optuna: TPE, which uses earlier results
    seed: int = Field(default=0, ge=0, lt=2**32)  # of the searcher; the recipe's own seed is the same for all trials
    asha: Asha | None = None  # early stopping of trials; null: all train to the end
    concurrent: int | None = Field(default=None, ge=1)  # parallel trials; null: as many as fit into the cluster
    minutes: float | None = Field(
        default=None, gt=0
    )  # time budget; then the sweep stops, and --resume continues it; null: no limit

    @field_validator("metric")
    @classmethod
    def _three_parts(cls, value: str) -> str:
        if len([p for p in value.split("/", 2) if p]) != 3:
            raise SpecError(f"found {value!r}, expected source/task/metric, such as real/action/top1.")
        return value

    @model_validator(mode="after")
    def _agrees(self) -> "Sweep":
        problems = [] if self.axes else ["search: nothing varies. Add a field, or give several recipes."]
        twice = sorted({n for n in self.names if self.names.count(n) > 1})
        problems += [f"recipe: two files have the name {n}. Rename one." for n in twice]
        problems += [
            f"search.{n}: is fixed in overrides. Remove one." for n in self.search if {*fields(n)} & {*self.overrides}
        ]
        if self.searcher == "grid":
            sizes = {n: r.size for n, r in self.axes.items()}
            endless = [n for n, size in sizes.items() if size is None]
            problems += [
                f"search.{n}: a grid needs finitely many values. Give a choice, an integer, or a step." for n in endless
            ]
            if (count := math.prod(size or 1 for size in sizes.values())) > MOST_TRIALS:
                problems.append(f"search: a grid of {count} trials, expected {MOST_TRIALS} at most. Give fewer values.")
            if self.trials is not None:
                problems.append("trials: a grid tries every combination. Remove it, or use the searcher random.")
        elif self.trials is None:
            problems.append(f"trials: is required for the searcher {self.searcher}. Set it.")
        if problems:
            raise SpecError("\n".join(problems))
        return self

    @classmethod
    def load(cls, path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> "Sweep":
        """The sweep in a yaml file, with 'a.b=value' overrides. Raises RecipeError with every problem found."""
        sweep = validate(read(path, overrides), str(path), cls)
        return sweep.model_copy(update={"recipe": tuple(str(Path(path).absolute().parent / f) for f in sweep.files)})

    @property
    def files(self) -> tuple[str, ...]:
        """The recipes' yaml files."""
        return (self.recipe,) if isinstance(self.recipe, str) else self.recipe

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the recipes: their files' names, without suffix."""
        return tuple(Path(f).stem for f in self.files)

    @property
    def axes(self) -> dict[str, Range]:
        """Everything that varies between trials: `recipe`, if there are several, and the fields of `search`."""
        several = {"recipe": Range(choice=self.names)} if len(set(self.names)) > 1 else {}
        return several | self.search

    @property
    def count(self) -> int:
        """Total number of trials."""
        return self.trials if self.trials is not None else len(self.combinations())

    def combinations(self) -> list[dict[str, Any]]:
        """Every combination of a grid, in order: recipes vary fastest, so that they can be compared early, then the
        last field."""
        names = [*self.search, *self.axes.keys() - self.search.keys()]
        found = (
            dict(zip(names, values, strict=True)) for values in product(*(self.axes[n].grid() or () for n in names))
        )
        return [{name: values[name] for name in self.axes} for values in found]

    def better(self, a: float, b: float) -> bool:
        """Whether the value a is better than b."""
        return a > b if self.maximizes else a < b

    @property
    def maximizes(self) -> bool:
        """Whether higher values are better. Raises SpecError if `mode` is not set; in a sweep's folder it always is."""
        if self.mode is None:
            raise SpecError("mode: is not set. Set it to max or min.")
        return self.mode == "max"

    def text(self) -> str:
        """As yaml that loads as the same sweep."""
        return dump(self)


def load_bases(sweep: Sweep) -> dict[str, Recipe]:
    """name -> recipe, for all recipes of a sweep."""
    return {name: Recipe.load(file) for name, file in zip(sweep.names, sweep.files, strict=True)}


def vary(bases: Mapping[str, Recipe], sweep: Sweep, values: Mapping[str, Any]) -> Recipe:
    """The recipe of one trial: overrides, then values, merged as `extends` merges. Raises RecipeError."""
    several = "recipe" in sweep.axes and len(bases) > 1
    data = bases[values.get("recipe", sweep.names[0]) if several else sweep.names[0]].model_dump(mode="json")
    for key, value in {**sweep.overrides, **values}.items():
        for field in fields(key) if key != "recipe" or not several else ():
            change(data, field, value)
    return validate(data, ", ".join(f"{k}={json.dumps(v)}" for k, v in values.items()) or "overrides", Recipe)


def fields(key: str) -> list[str]:
    """The fields that a key of `search` sets: "a.b, c.d" are two."""
    return [field.strip() for field in key.split(",")]


def words(value: Any) -> str:
    """A value as text: lists without quotes, null for None."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(words, value))
    return value if isinstance(value, str) else json.dumps(value)
