"""check_labeler: the requirements of labelers, on given samples."""

import json
import pickle
from collections.abc import Sequence

from taskprompt.core.labeler import Answer, Labeler
from taskprompt.core.types import Sample
from taskprompt.labels.table import record, value_of


def check_labeler(labeler: Labeler, samples: Sequence[Sample]) -> None:
    """Build a labeler in this process and ask it about the samples, together and one by one.

    Raises AssertionError with the violated requirement, or the labeler's own error."""
    name = type(labeler).__name__
    again = Labeler.model_validate(json.loads(json.dumps(labeler.model_dump(mode="json"))))
    assert again == labeler, f"the spec changes in a round trip through JSON: {labeler} became {again}"
    pickle.dumps(labeler)  # raises if it cannot be sent to an actor
    assert samples, "give check_labeler at least one sample"
    questions = labeler.questions()
    assert questions == labeler.questions(), f"{name}.questions: two calls differ"
    labels = [q.label for q in questions]
    assert labels, f"{name}.questions: there is none"
    assert len(set(labels)) == len(labels), f"{name}.questions: duplicate label in {labels}"
    for question in questions:
        json.dumps(question.asked)  # raises if a table could not store it
    ask = labeler.build()
    whole = ask(samples, [labels] * len(samples))
    assert len(whole) == len(samples), f"{name}: {len(whole)} answers for {len(samples)} samples"
    for sample, answers in zip(samples, whole, strict=True):
        _check_answers(name, sample, labels, answers)
        alone = ask([sample], [labels[:1]])[0]
        assert set(alone) == set(labels[:1]), f"{name}: asked for {labels[:1]}, it answers {sorted(alone)}"
    assert any(not a.error for answers in whole for a in answers.values()), f"{name}: no question was answered"


def _check_answers(name: str, sample: Sample, labels: list[str], answers: dict[str, Answer]) -> None:
    where = f"{name}, sample {sample.key!r}"
    assert set(answers) == set(labels), f"{where}: asked for {labels}, it answers {sorted(answers)}"
    for label, answer in answers.items():
        assert (answer.value is None) == bool(answer.error), f"{where}: {label!r} must have either a value or an error"
        json.dumps(answer.used or {})
        if not answer.error:
            row = record(sample.key, label, answer.value)
            back = record(sample.key, label, value_of(row))
            assert back == row, f"{where}: {label!r} changes when it is written and read"
