"""Numbers that no model can calculate with, and text of no file, are refused in every field of every spec."""

from typing import Any

import pytest
from pydantic import Field, ValidationError

from taskprompt import Backbone, Runtime, Stage, Sweep
from taskprompt.balancers.fixed import Fixed
from taskprompt.core.augment import Augment
from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import RecipeError
from taskprompt.core.spec import Spec
from taskprompt.labelers._engines.base import Sampling
from taskprompt.recipe.files import validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.sweeps.sweep import Range
from taskprompt.tasks._classes import read_classes

INF, NAN = float("inf"), float("nan")
LOOP: list[Any] = []
LOOP.append(LOOP)


class Inner(Spec):
    value: float = 0.0


class Own(Spec):
    """A user's own spec, with fields of every form."""

    number: float = 1.0
    maybe: float | None = None
    whole: int = 1
    pair: tuple[float, ...] = ()
    named: dict[str, float] = {}
    anything: Any = None
    options: dict[str, Any] = {}
    text: str = ""
    inner: Inner = Inner()
    inners: tuple[Inner, ...] = ()
    late: float = Field(default=0.0, validate_default=True)


@pytest.mark.parametrize("bad", [2**63, -(2**64), 10**400, True, NAN, "9" * 30])
def test_whole_numbers(bad):
    with pytest.raises(ValidationError, match="whole"):
        Own.model_validate({"whole": bad})


@pytest.mark.parametrize("bad", [NAN, INF, -INF, 1e39, 1e-39, 10**400, True, "nan", "inf"])
@pytest.mark.parametrize(
    ("field", "wrap"),
    [
        ("number", lambda v: v),
        ("maybe", lambda v: v),
        ("pair", lambda v: [0.5, v]),
        ("named", lambda v: {"a": v}),
        ("inner", lambda v: {"value": v}),
        ("inners", lambda v: [{}, {"value": v}]),
    ],
)
def test_numbers(field, wrap, bad):
    with pytest.raises(ValidationError) as caught:
        Own.model_validate({field: wrap(bad)})
    assert caught.value.errors()[0]["loc"][0] == field
    if field != "inner" and not isinstance(bad, bool):
        with pytest.raises(ValidationError):
            Own(**{field: wrap(bad)})


@pytest.mark.parametrize("bad", [NAN, INF, 1e300, 10**400, "a\0b", "\ud800", {None: 1}, {1.5: 2}, LOOP])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [{"deep": (1, v)}]])
def test_fields_of_any_form(bad, wrap):
    for field in ("anything", "options"):
        with pytest.raises(ValidationError, match=field):
            Own.model_validate({field: {"a": wrap(bad)}})


def test_what_is_fine():
    own = Own.model_validate(
        {"number": "1e-3", "whole": 2**62, "anything": {"a": [1, 2.5, True, None, {3: "ü"}]}, "text": "é😀"}
    )
    assert (own.number, own.whole, own.anything["a"][2]) == (0.001, 2**62, True)
    assert Own.model_validate_json(own.model_dump_json()).text == "é😀"


@pytest.mark.parametrize(
    ("spec", "field", "values"),
    [
        (Stage, "betas", [(-1, 0.9), (1.0, 0.9), (0.9, 1.5), (0.9, 1.0), (0.9, NAN), (0.9,)]),
        (Stage, "warmup", [-1, 11, 10**400]),
        (Stage, "lr", [0, -1, INF, NAN, 1e-300]),
        (Stage, "weight_decay", [-0.1, INF]),
        (Stage, "ema", [0, 1, NAN]),
        (Stage, "clip_norm", [0, INF]),
        (Fixed, "weights", [{"a": -1.0}, {"a": NAN}, {"a": INF}]),
        (ClipSpec, "fps", [0, -1, INF, 1e-30, 1e30]),
        (ClipSpec, "frames", [0, 10**9]),
        (Augment, "brightness", [-1, INF]),
        (Augment, "scale", [(0, 1), (0.5, NAN), (NAN, 1.0)]),
        (Runtime, "wait", [-1, INF]),
        (Runtime, "gpu", [NAN, 1e-320, 2]),
        (Runtime, "workers", [0, 2**70, (2, 1)]),
        (Sampling, "temperature", [-1, NAN, INF]),
        (Sampling, "top_p", [-1, 0, 9, NAN]),
        (Sampling, "seed", [-1]),
        (Range, "uniform", [(0, INF), (NAN, 1)]),
        (Range, "choice", [[NAN], [1, INF], [{"a": NAN}]]),
        (Range, "integer", [(0, 2**70)]),
    ],
    ids=lambda v: getattr(v, "__name__", None) or (v if isinstance(v, str) else ""),
)
def test_ranges(spec, field, values):
    needed = {"steps": 10} if spec is Stage else {}
    for value in values:
        with pytest.raises(ValidationError):
            spec.model_validate(needed | {field: value})


def test_colours_are_divided_by_more_than_zero():
    for std in ([0, 1, 1], [1, 1, -1], [1, NAN, 1]):
        with pytest.raises(ValidationError, match="std"):
            Backbone.model_validate({"kind": "tiny", "std": std})


def test_a_number_of_classes_that_fits_no_memory():
    with pytest.raises(ValueError, match="expected at most"):
        read_classes(10**12)


def test_the_balancer_needs_no_kind(squares):
    given = validate(squares | {"balancer": {"weights": {"depth": 0.5}}}, "r", Recipe)
    assert given.balancer == Fixed(weights={"depth": 0.5})
    assert validate(squares | {"balancer": {}}, "r", Recipe).balancer == Fixed()
    with pytest.raises(RecipeError, match="prompter: no `kind` is given"):
        validate(squares | {"prompter": {}}, "r", Recipe)


def test_a_kind_that_is_not_the_class_is_refused():
    assert Fixed.model_validate({"kind": "fixed", "weights": {}}) == Fixed()
    with pytest.raises(ValidationError, match="found the kind 'other', expected 'fixed'"):
        Fixed.model_validate({"kind": "other"})


def test_overrides_and_sweeps(squares, tmp_path):
    import yaml

    (tmp_path / "r.yaml").write_text(yaml.safe_dump(squares))
    for text in ("stages.0.lr=.nan", "balancer={weights: {depth: .inf}}", "tasks.depth.far=nan", "runtime.wait=1e400"):
        with pytest.raises(RecipeError, match="finite"):
            Recipe.load(tmp_path / "r.yaml", [text])
    huge = {"recipe": "r.yaml", "metric": "a/b/c", "mode": "min", "searcher": "grid"}
    for search in ({"seed": {"integer": [0, 2**40]}}, {n: {"integer": [0, 999]} for n in ("seed", "keep")}):
        with pytest.raises(ValidationError, match=r"a grid of .* trials, expected"):
            Sweep.model_validate(huge | {"search": search})
