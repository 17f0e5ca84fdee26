"""What models cost: counted by hand, and the table."""

import pytest

from taskprompt.core.errors import SpecError
from taskprompt.evaluation.profile import flops, profile
from taskprompt.recipe.build import build_model
from taskprompt.recipe.recipe import Recipe
from taskprompt.reporting.costs import markdown


def sizes(recipe: Recipe) -> dict[str, int]:
    """Parameters of the encoder, the prompter and each head."""
    model = build_model(recipe)
    parts = {"encoder": model.encoder, "prompter": model.prompter, **model.heads}
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}


def test_parameters_operations_and_the_table(squares):
    pvit = Recipe.model_validate(squares)
    plain = squares | {"prompter": {"kind": "none"}, "stages": [{"steps": 1, "tasks": ["action"]}]}
    frozen = squares | {
        "stages": [{"steps": 1, "freeze": ["encoder", "heads.depth"]}, {"steps": 1, "freeze": ["encoder"]}]
    }
    recipes = {"plain": plain, "pvit": squares, "frozen": frozen}
    costs = {c.recipe: c for c in profile({n: Recipe.model_validate(r) for n, r in recipes.items()}, repeats=1)}
    size = sizes(pvit)
    assert size["prompter"] == 32  # one prompt, of the depth
    assert costs["plain"].trained == costs["plain"].test == size["encoder"] + size["action"]
    assert costs["pvit"].trained == sum(size.values())
    assert costs["pvit"].test == size["encoder"] + size["prompter"] + size["action"]
    assert costs["frozen"].trained == sum(size.values()) - size["encoder"]
    assert costs["plain"].flops == costs["plain"].flops_test < costs["pvit"].flops_test < costs["pvit"].flops
    assert all(c.kept == ("action",) and c.ms > 0 and c.ms_test > 0 for c in costs.values())
    lines = markdown(list(costs.values())).splitlines()
    assert lines[2].startswith(f"| plain | {costs['plain'].trained / 1e6:.3g} | {costs['plain'].test / 1e6:.3g} |")
    assert lines[2].endswith(" | 1.00 |")
    assert "of all tasks but action are dropped" in lines[-1]


def test_a_head_of_one_layer_by_hand(squares):
    recipe = Recipe.model_validate(squares)
    assert flops(recipe, ["action"]) - flops(recipe, []) == 2 * 32 * 2  # width, classes


def test_other_heads_are_kept_on_request(squares):
    recipe = Recipe.model_validate(squares)
    (cost,) = profile({"pvit": recipe}, keep=["action", "depth"], repeats=1)
    assert cost.test == cost.trained
    with pytest.raises(SpecError, match=r"pvit has no task 'dept'. Did you mean 'depth'"):
        profile({"pvit": recipe}, keep=["dept"])
