"""Advice in errors: options of the command line, and the same in Python."""

import pickle

import pytest
from pydantic import field_validator

from taskprompt.core.advice import for_python
from taskprompt.core.errors import CheckpointError, RecipeError, told
from taskprompt.core.spec import Spec
from taskprompt.recipe.files import validate


@pytest.mark.parametrize(
    ("written", "python"),
    [
        (
            "Add --resume to go on, or --fresh to replace it.",
            "Add `resume=True` to go on, or `fresh=True` to replace it.",
        ),
        ("Choose another folder for --out.", "Choose another folder for `out`."),
        ("Go on with `--resume`.", "Go on with `resume=True`."),
        ("--out runs/x: is relative.", "`out` runs/x: is relative."),
        ("Give the folder that `fit --out` wrote.", "Give the folder that `fit(out=...)` wrote."),
        ("Write it with `taskprompt label`.", "Write it with `taskprompt.label`."),
        ("`taskprompt job list` shows those that do.", "`taskprompt.jobs` shows those that do."),
        ("Give --metric real/action/top1.", "Give `metric` real/action/top1."),
        ("a--resume/x--out.mp4: no such file", "a--resume/x--out.mp4: no such file"),
        ("which `ray start --head` printed", "which `ray start --head` printed"),
        ("an option such as --resume-from", "an option such as --resume-from"),
    ],
)
def test_options_are_arguments_in_python(written, python):
    assert for_python(written) == python
    assert for_python(python) == python
    error = pickle.loads(pickle.dumps(CheckpointError(written)))
    assert (error.text, str(error)) == (written, python)


def test_each_problem_of_a_recipe_is_told_both_ways():
    error = pickle.loads(pickle.dumps(RecipeError("r.yaml", ["a: add --fresh.", "b: wrong."])))
    assert error.text == "r.yaml: 2 problems\n  a: add --fresh.\n  b: wrong."
    assert str(error) == "r.yaml: 2 problems\n  a: add `fresh=True`.\n  b: wrong."


def test_an_error_in_another_keeps_the_words_of_the_command_line(tmp_path):
    assert told(CheckpointError("a: add --fresh,\n or `taskprompt label`.")) == "a: add --fresh, or `taskprompt label`."
    with pytest.raises(OSError, match="No such file") as found:
        (tmp_path / "none").read_bytes()
    assert told(found.value) == f"{tmp_path / 'none'}: No such file or directory."
    assert told(KeyError("x")) == "KeyError: 'x'."  # of code: its class says what x is


class Picky(Spec):
    out: str

    @field_validator("out")
    @classmethod
    def _never(cls, value: str) -> str:
        raise CheckpointError("add --fresh.")


def test_what_a_validator_raises_too():
    with pytest.raises(RecipeError) as found:
        validate({"out": "a"}, "here", Picky)
    assert found.value.text == "here: 1 problem\n  out: add --fresh."
    assert str(found.value) == "here: 1 problem\n  out: add `fresh=True`."
