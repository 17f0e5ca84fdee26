"""check_labeler: does a labeler keep the promises of its interface, on samples that you give it?"""

import json
import pickle
from collections.abc import Sequence

from taskprompt.core.labeler import Answer, Labeler
from taskprompt.core.types import Sample
from taskprompt.labels.table import record, value_of


def check_labeler(labeler: Labeler, samples: Sequence[Sample]) -> None:
    """Builds it here and asks it about the samples, together and one by one.

    Raises AssertionError with the promise that is broken, or what the labeler itself raises."""
    name = type(labeler).__name__
    again = Labeler.model_validate(json.loads(json.dumps(labeler.model_dump(mode="json"))))
    assert again == labeler, f"the spec changes on its way through JSON: {labeler} became {again}"
    pickle.dumps(labeler)  # raises where it cannot be sent to an actor
    assert samples, "give check_labeler at least one sample"
    questions = labeler.questions()
    assert questions == labeler.questions(), f"{name}.questions: two calls differ"
    labels = [q.label for q in questions]
    assert labels, f"{name}.questions: there is none"
    assert len(set(labels)) == len(labels), f"{name}.questions: a label stands twice in {labels}"
    for question in questions:
        json.dumps(question.asked)  # raises where a table could not hold it
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
        assert (answer.value is None) == bool(answer.error), (
            f"{where}: {label!r} wants a value or an error, one of both"
        )
        json.dumps(answer.used or {})
        if not answer.error:
            row = record(sample.key, label, answer.value)
            back = record(sample.key, label, value_of(row))
            assert back == row, f"{where}: {label!r} is not the same when it was written and read"
