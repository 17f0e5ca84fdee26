"""Errors as records: of every class, of a user's own, of none of ours; what arrives is what was raised."""

import pickle

import pytest

import taskprompt as tp
from taskprompt.core.errors import ErrorRecord

CLASSES = [c for c in tp.TaskPromptError.__subclasses__() if c.__module__ == "taskprompt.core.errors"]


class Mine(tp.SourceError):
    """Of a module that another process does not have; it cannot even be pickled."""

    def __init__(self, text):
        super().__init__(text)
        self.lock = pytest.raises  # whatever it holds does not travel


@pytest.mark.parametrize("cls", [tp.TaskPromptError, *(c for c in CLASSES if c is not tp.RecipeError)])
def test_an_error_arrives_as_it_was(cls):
    record = ErrorRecord.of(cls("a.mp4: is empty. Add --resume."), "a")
    assert record == ErrorRecord(cls.__name__, "a.mp4: is empty. Add --resume.", "a")
    assert pickle.loads(pickle.dumps(record)) == ErrorRecord.loads(record.dumps()) == record
    found = record.raised()
    assert type(found) is cls
    assert found.text == "a.mp4: is empty. Add --resume."
    assert str(found) == "a.mp4: is empty. Add `resume=True`."  # in the words of this process


def test_a_recipe_error_keeps_its_problems():
    error = tp.RecipeError("r.yaml", ["tasks: none", "stages: none"])
    found = ErrorRecord.loads(ErrorRecord.of(error).dumps()).raised()
    assert isinstance(found, tp.RecipeError)
    assert (found.where, found.problems, found.text) == ("r.yaml", error.problems, error.text)


def test_a_class_of_the_users_own_is_the_one_that_it_derives_from():
    record = ErrorRecord.of(Mine("no clips"))
    assert record == ErrorRecord("SourceError", "no clips")
    assert type(record.raised()) is tp.SourceError


def test_any_other_error_says_where_it_was_raised():
    with pytest.raises(ZeroDivisionError) as found:
        _ = 1 / 0
    record = ErrorRecord.of(found.value, "a")
    assert (record.code, record.key) == ("TaskError", "a")
    assert record.text.startswith("ZeroDivisionError: division by zero (")
    assert "test_error_record.py, line " in record.text


def test_a_name_from_outside_is_never_looked_up():
    for code in ("os.system", "ErrorRecord", "Mine", "KeyboardInterrupt", ""):
        assert type(ErrorRecord(code, "text").raised()) is tp.TaskPromptError


def test_keys_of_addresses_do_not_travel():
    assert "secret" not in ErrorRecord.of(tp.SourceError("s3://me:secret@host/a is not there")).dumps()
