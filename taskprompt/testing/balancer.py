"""check_balancer: the requirements of balancers, on random losses and gradients."""

import json
import pickle
from collections.abc import Sequence

import torch
from torch import Tensor

from taskprompt.core.balancer import Balance, Balancer, JoinedGradients, LossWeights, TaskGradients, check_answer

SIZE = 6  # parameters in every part of the model
STEPS = 7  # optimizer steps, the last with labels of all tasks; the resumed run is interrupted in the middle
RATE = 0.1  # of gradient descent on the balance's own parameters

Answer = LossWeights | JoinedGradients


def check_balancer(balancer: Balancer, tasks: Sequence[str] = ("a", "b", "c")) -> None:
    """Check a balancer over a few optimizer steps of these tasks; in some steps, tasks have no labels.

    Its results have the right form and are finite; no weight is below zero; the joined gradient of a single task does
    not increase its loss; two workers and a resumed run get the same results; its own parameters get gradients.

    Raises AssertionError with the violated requirement, LayoutError for a result that does not fit, or the balancer's
    own error."""
    assert len(tasks) > 1, "give check_balancer two tasks or more"
    again = Balancer.model_validate(json.loads(json.dumps(balancer.model_dump(mode="json"))))
    assert again == balancer, f"the spec changes in a round trip through JSON: {balancer} became {again}"
    pickle.dumps(balancer)  # raises if it cannot be sent to a worker
    balance = _built(balancer, tasks)
    answers = _play(balance, range(STEPS), global_seed=0)
    _check_learns(balance)
    other = _play(_built(balancer, tasks), range(STEPS), global_seed=1)
    for number, (a, b) in enumerate(zip(answers, other, strict=True)):
        assert _equal(a, b), f"step {number + 1}: two workers get different results. Draw from step.generator."
    cut, resumed = _built(balancer, tasks), _built(balancer, tasks)
    _play(cut, range(STEPS // 2), global_seed=0)
    resumed.load_state_dict({name: torch.as_tensor(value).clone() for name, value in cut.state_dict().items()})
    later = _play(resumed, range(STEPS // 2, STEPS), global_seed=0)
    for number, (a, b) in enumerate(zip(answers[STEPS // 2 :], later, strict=True), STEPS // 2):
        assert _equal(a, b), f"step {number + 1}: another result after resuming. Keep state in a buffer."


def _built(balancer: Balancer, tasks: Sequence[str]) -> Balance:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        balance = balancer.build(tasks)
    assert balance.tasks == tuple(tasks), f"the balance has the tasks {balance.tasks}. Call super().__init__(tasks)."
    return balance


def _present(tasks: Sequence[str], number: int) -> list[str]:
    """The tasks with labels in a step: all, one alone, all but one, in turn."""
    at = number % len(tasks)
    return [list(tasks), [tasks[at]], [n for n in tasks if n != tasks[at]]][number % 3]


def _play(balance: Balance, numbers: range, global_seed: int) -> list[Answer]:
    """The results of some steps. Losses and gradients depend only on the step's number."""
    answers = []
    for number in numbers:
        draw = torch.Generator().manual_seed(number)
        losses = dict(zip(balance.tasks, (torch.rand(len(balance.tasks), generator=draw) + 0.1).tolist(), strict=True))
        rows = {n: torch.randn(SIZE, generator=draw) for n in balance.tasks}
        present = _present(balance.tasks, number)
        asked: dict[str, int] = {}

        def gradients(part: str, rows=rows, present=present, asked=asked) -> dict[str, Tensor]:
            asked[part] = SIZE
            return {n: rows[n].clone() for n in present}

        first, last = ({n: known[n] for n in present if n in known} for known in (balance.first, balance.last))
        here = {n: losses[n] for n in present}
        counts, random = {n: 1 + number % 3 for n in present}, torch.Generator().manual_seed(100 + number)
        with torch.random.fork_rng():
            torch.manual_seed(global_seed)
            answer = balance.step(TaskGradients(counts, first, last, random, lambda here=here: here, gradients))
        check_answer(answer, balance, present, asked)
        _check_sane(answer, {n: rows[n] for n in present}, number)
        _learn(balance, answer, here)
        balance.record(here)
        answers.append(answer)
    return answers


def _check_sane(answer: Answer, rows: dict[str, Tensor], number: int) -> None:
    for name, value in _numbers(answer).items():
        assert value.isfinite().all(), f"step {number + 1}: {name} is not finite"
    if isinstance(answer, LossWeights):
        for name in answer.tasks:
            weight = float(_numbers(answer)[name])
            assert weight >= 0, f"step {number + 1}: the weight of {name!r} is {weight:g}, below zero"
    elif len(rows) == 1:
        ((name, row),) = rows.items()
        for part, joined in answer.parts.items():
            assert joined @ row >= 0, (
                f"step {number + 1}: {name!r} is the only task, and the gradient for {part!r} increases its loss"
            )


def _learn(balance: Balance, answer: Answer, losses: dict[str, float]) -> None:
    """One step of gradient descent on the balance's own parameters; keeps their gradients for checks."""
    balance.zero_grad()
    own = answer.own_loss(losses) if isinstance(answer, LossWeights) else None
    if own is not None:
        own.backward()
    with torch.no_grad():
        for parameter in balance.parameters():
            if parameter.grad is not None:
                parameter -= RATE * parameter.grad


def _check_learns(balance: Balance) -> None:
    """After the last step, which has labels of all tasks, every own parameter must have a gradient."""
    for name, parameter in balance.named_parameters():
        assert parameter.grad is not None, f"no gradient reaches {name}: return a weight or a loss that depends on it"
        assert parameter.grad.isfinite().all(), f"the gradient of {name} is not finite"


def _numbers(answer: Answer) -> dict[str, Tensor]:
    named = answer.parts if isinstance(answer, JoinedGradients) else {**answer.tasks, "the balance's loss": answer.loss}
    return {n: torch.as_tensor(v).detach() for n, v in named.items() if v is not None}


def _equal(one: Answer, other: Answer) -> bool:
    a, b = _numbers(one), _numbers(other)
    return type(one) is type(other) and a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)
