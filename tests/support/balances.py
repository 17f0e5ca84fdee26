"""Balancers as users write them, each of which shows one thing that a balance may do."""

import torch
from torch import nn

from taskprompt import Balance, Balancer, JoinedGradients, LossWeights


class Counting(Balancer):
    """Counts its steps, and weighs a task by its loss of the step before."""

    def build(self, tasks):
        return Counted(tasks)


class Counted(Balance):
    def __init__(self, tasks):
        super().__init__(tasks)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def step(self, step):
        self.steps += 1
        return LossWeights({n: 1 / (1 + step.last.get(n, step.first.get(n, 0.0))) for n in step.counts})


class Learning(Balancer):
    """A learned weight a task, and a regularizer."""

    def build(self, tasks):
        return Learned(tasks)


class Learned(Balance):
    def __init__(self, tasks):
        super().__init__(tasks)
        self.scale = nn.Parameter(torch.zeros(len(self.tasks)))

    def step(self, step):
        weights = {n: self.scale[self.tasks.index(n)].exp() for n in step.counts}
        return LossWeights(weights, loss=3 * (1 + self.scale).sum())


class Looking(Balancer):
    """Remembers the losses that a step says it has."""

    def build(self, tasks):
        return Looked(tasks)


class Looked(Balance):
    seen: torch.Tensor

    def __init__(self, tasks):
        super().__init__(tasks)
        self.register_buffer("seen", torch.zeros(len(self.tasks), dtype=torch.float64))

    def step(self, step):
        self.get_buffer("seen").copy_(torch.tensor([step.losses.get(n, -1.0) for n in self.tasks]))
        return LossWeights(dict.fromkeys(step.counts, 1.0))


class Summing(Balancer):
    """Gradients of parts, joined by the plain sum; or weights of one after it has asked for the gradients."""

    parts: tuple[str, ...] = ("encoder",)
    weigh: bool = False
    scale: float = 1.0
    plain: bool = False  # asks for nothing

    def build(self, tasks):
        return Summed(tasks, self)


class Summed(Balance):
    def __init__(self, tasks, spec):
        super().__init__(tasks)
        self.spec = spec

    def step(self, step):
        if self.spec.plain:
            return LossWeights(dict.fromkeys(step.counts, 1.0))
        rows = {part: step.gradients(part) for part in self.spec.parts}
        assert all(set(r) == set(step.counts) for r in rows.values())
        if self.spec.weigh:
            return LossWeights(dict.fromkeys(step.counts, 1.0))
        return JoinedGradients({p: self.spec.scale * torch.stack([*r.values()]).sum(0) for p, r in rows.items()})


class Wrong(Balancer):
    """Answers that do not fit."""

    how: str

    def build(self, tasks):
        return Answers(tasks, self.how)


class Answers(Balance):
    def __init__(self, tasks, how):
        super().__init__(tasks)
        self.how = how
        self.memory = 0

    def step(self, step):
        names, one = list(step.counts), torch.ones(())
        self.memory += 1
        match self.how:
            case "nothing":
                return None
            case "missing":
                return LossWeights(dict.fromkeys(names[1:], 1.0))
            case "vector":
                return LossWeights(dict.fromkeys(names, torch.ones(2)))
            case "unasked":
                return JoinedGradients({"encoder": torch.ones(3)})
            case "short":
                step.gradients("encoder")
                return JoinedGradients({"encoder": torch.ones(3)})
            case "raises":
                return LossWeights({n: one / {}["key"] for n in names})
            case "negative":
                return LossWeights(dict.fromkeys(names, -1.0))
            case "global":
                return LossWeights(dict.fromkeys(names, float(torch.rand(()))))
            case "forgets":
                return LossWeights(dict.fromkeys(names, float(self.memory)))
            case "uphill":
                return JoinedGradients({"encoder": -torch.stack([*step.gradients("encoder").values()]).sum(0)})
        raise AssertionError(self.how)
