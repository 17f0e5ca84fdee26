"""What is frozen, what decays, and the schedule."""

import math

import pytest
from torch import nn

from taskprompt.core.errors import SpecError
from taskprompt.recipe.build import build_model, freeze
from taskprompt.recipe.files import validate
from taskprompt.recipe.recipe import Recipe, Stage
from taskprompt.train.optim import decay_groups, learning_rate, make_optimizer, training_mode


def test_schedule_rises_then_falls_along_half_a_cosine():
    stage = Stage(steps=12, lr=1.0, final_lr=0.1, warmup=2)
    assert [learning_rate(stage, s) for s in (0, 1)] == [0.5, 1.0]
    assert learning_rate(stage, 2) == 1.0
    assert learning_rate(stage, 7) == pytest.approx(0.55)
    assert learning_rate(stage, 11) == pytest.approx(0.1 + 0.45 * (1 + math.cos(math.pi * 0.9)))


def test_biases_norms_and_prompts_do_not_decay(squares):
    model = build_model(validate(squares, "r", Recipe))
    names = {id(p): n for n, p in model.named_parameters()}
    decayed, still = ([names[id(p)] for p in g["params"]] for g in decay_groups(model.named_parameters(), 0.05))
    assert len(decayed) + len(still) == len(names)
    assert any(n.startswith("prompter.") for n in still)
    assert not any(n.endswith(".bias") or n.startswith("prompter.") for n in decayed)
    assert all(dict(model.named_parameters())[n].ndim > 1 for n in decayed)


def test_freezing_takes_gradients_and_dropout_away(squares):
    model = build_model(validate(squares, "r", Recipe))
    stage = Stage(steps=1, freeze=("encoder",), tasks=("depth",))
    freeze(model, stage, ("depth",))
    training_mode(model)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in model.named_parameters() if n.startswith(("prompter.", "heads.depth."))}
    assert not model.encoder.training
    assert model.heads["depth"].training
    assert not model.heads["action"].training


def test_unknown_parts_and_nothing_left_are_refused(squares):
    model = build_model(validate(squares, "r", Recipe))
    with pytest.raises(SpecError, match=r"no part 'encodr'\. Did you mean 'encoder'\?"):
        freeze(model, Stage(steps=1, freeze=("encodr",)), ())
    stage = Stage(steps=1, freeze=("encoder", "prompter", "heads"))
    freeze(model, stage, ("depth",))
    with pytest.raises(SpecError, match="leaves nothing to train"):
        make_optimizer(model.named_parameters(), stage)


def test_optimizers_by_name():
    named = list(nn.Linear(2, 2).named_parameters())
    made = {k: type(make_optimizer(named, Stage(steps=1, optimizer=k))).__name__ for k in ("adamw", "adam", "sgd")}
    assert made == {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}
