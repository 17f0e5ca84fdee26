"""Sweep: many runs of a recipe, or of several, in one yaml: what varies, what is measured, when a trial has had its
chance."""

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
    """What a field may be: exactly one of choice, uniform, loguniform and integer."""

    choice: tuple[Any, ...] | None = Field(default=None, min_length=1)  # values of any form; null removes an entry
    uniform: tuple[float, float] | None = None  # lowest and highest
    loguniform: tuple[float, float] | None = None  # lowest and highest, above 0; every factor is as likely
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
        """Every value; None where there is no end of them."""
        if self.choice is not None or self.size is None:
            return self.choice
        step = self.step or 1
        values = [self.low + i * step for i in range(self.size)]
        return tuple(int(v) if self.integer else v for v in values)

    @property
    def size(self) -> int | None:
        """How many values `grid` has, without listing them."""
        if self.choice is not None:
            return len(self.choice)
        step = self.step or (1 if self.integer else None)
        return None if step is None else round((self.high - self.low) / step) + 1

    def distribution(self):
        """As Optuna knows it. A choice is known by its json text, for a value may be a list."""
        from optuna import distributions as d  # takes a second to load

        if self.choice is not None:
            return d.CategoricalDistribution([json.dumps(v) for v in self.choice])
        if self.integer:
            return d.IntDistribution(int(self.low), int(self.high), step=int(self.step or 1))
        return d.FloatDistribution(self.low, self.high, log=self.loguniform is not None, step=self.step)

    def encode(self, value: Any) -> Any:
        """A value as Optuna knows it."""
        return json.dumps(value) if self.choice is not None else value

    def decode(self, known: Any) -> Any:
        """The value that Optuna knows as `known`."""
        return json.loads(known) if self.choice is not None else known


class Asha(Spec):
    """Asynchronous successive halving: at some steps, only trials that rank high among those that came by go on."""

    grace: int = Field(ge=1)  # steps that every trial gets; it is ranked there, and at grace x reduction, x reduction^2
    reduction: float = Field(default=3.0, gt=1)  # one of so many goes on


class Sweep(Spec):
    """One yaml a sweep."""

    recipe: str | tuple[str, ...]  # the recipe's yaml file, or several to try; relative paths start at the sweep's file
    overrides: dict[str, Any] = {}  # field -> value, the same for all trials: evaluate_every, stages.0.steps
    search: dict[str, Range] = {}  # field -> what it may be; "a.b, c.d" sets two fields to one value, as a fold needs
    metric: str  # what a trial is judged by: source/task/metric, as in held_out.jsonl
    mode: Literal["max", "min"] | None = None  # is more of it better, or less? null: as its task says
    trials: int | None = Field(
        default=None, ge=1, le=MOST_TRIALS
    )  # how many; a grid has as many as it has combinations
    searcher: Literal["optuna", "random", "grid"] = "optuna"  # optuna: TPE, which learns from the trials before
    seed: int = Field(default=0, ge=0, lt=2**32)  # of the searcher; the recipe's own seed is the same for all trials
    asha: Asha | None = None  # stops trials early; null: each trains to its end
    concurrent: int | None = Field(default=None, ge=1)  # trials side by side; null: as many as the cluster has room for
    minutes: float | None = Field(
        default=None, gt=0
    )  # after which it stops, trials under way too, to go on with --resume; null: no limit

    @field_validator("metric")
    @classmethod
    def _three_parts(cls, value: str) -> str:
        if len([p for p in value.split("/", 2) if p]) != 3:
            raise SpecError(f"found {value!r}, expected source/task/metric, such as real/action/top1.")
        return value

    @model_validator(mode="after")
    def _agrees(self) -> "Sweep":
        problems = [] if self.axes else ["search: nothing varies. Name a field, or give several recipes."]
        twice = sorted({n for n in self.names if self.names.count(n) > 1})
        problems += [f"recipe: two files are called {n}, which would name both. Rename one." for n in twice]
        problems += [
            f"search.{n}: is fixed in overrides. Remove one." for n in self.search if {*fields(n)} & {*self.overrides}
        ]
        if self.searcher == "grid":
            sizes = {n: r.size for n, r in self.axes.items()}
            endless = [n for n, size in sizes.items() if size is None]
            problems += [f"search.{n}: a grid needs an end. Give a choice, an integer, or a step." for n in endless]
            if (count := math.prod(size or 1 for size in sizes.values())) > MOST_TRIALS:
                problems.append(f"search: a grid of {count} trials, expected {MOST_TRIALS} at most. Give fewer values.")
            if self.trials is not None:
                problems.append("trials: a grid tries every combination. Remove it, or use the searcher random.")
        elif self.trials is None:
            problems.append(f"trials: the searcher {self.searcher} has no end of its own. Set it.")
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
        """What the recipes are called: their files' names, without the ending."""
        return tuple(Path(f).stem for f in self.files)

    @property
    def axes(self) -> dict[str, Range]:
        """All that differs between trials: `recipe`, where there are several, and the fields of `search`."""
        several = {"recipe": Range(choice=self.names)} if len(set(self.names)) > 1 else {}
        return several | self.search

    @property
    def count(self) -> int:
        """Trials in all."""
        return self.trials if self.trials is not None else len(self.combinations())

    def combinations(self) -> list[dict[str, Any]]:
        """Every combination of a grid, in order: recipes change fastest, so that they can be compared while it runs,
        then the last field."""
        names = [*self.search, *self.axes.keys() - self.search.keys()]
        found = (
            dict(zip(names, values, strict=True)) for values in product(*(self.axes[n].grid() or () for n in names))
        )
        return [{name: values[name] for name in self.axes} for values in found]

    def better(self, a: float, b: float) -> bool:
        """Is the value a better than b?"""
        return a > b if self.maximizes else a < b

    @property
    def maximizes(self) -> bool:
        """Is more of the metric better? Raises SpecError where `mode` is not settled, as it is in a sweep's folder."""
        if self.mode is None:
            raise SpecError("mode: is not set. Set it to max or min.")
        return self.mode == "max"

    def text(self) -> str:
        """As yaml that loads to the same sweep."""
        return dump(self)


def load_bases(sweep: Sweep) -> dict[str, Recipe]:
    """name -> recipe, of all that a sweep tries."""
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
    """A value as a person writes it: lists without quotes, null where there is none."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(words, value))
    return value if isinstance(value, str) else json.dumps(value)
