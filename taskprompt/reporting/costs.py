"""The cost of models as a table, like PViT's table 4a."""

from collections.abc import Sequence

from taskprompt.core.text import markdown as escaped
from taskprompt.evaluation.profile import Cost

HEAD = ("recipe", "trained (M)", "at test (M)", "GFLOPs", "at test", "ms per clip", "at test", "relative")


def markdown(costs: Sequence[Cost]) -> str:
    """The table in Markdown; "at test" is without the heads that are dropped then."""
    rows = [
        (
            escaped(cost.recipe),
            *(f"{n / 1e6:.3g}" for n in (cost.trained, cost.test)),
            *(f"{n / 1e9:.3g}" for n in (cost.flops, cost.flops_test)),
            *(f"{ms:.1f}" for ms in (cost.ms, cost.ms_test)),
            f"{cost.ms_test / costs[0].ms_test:.2f}",
        )
        for cost in costs
    ]
    kept = sorted({escaped(", ".join(cost.kept)) or "none" for cost in costs})
    notes = [
        "",
        f"At test the heads of all tasks but {' or '.join(kept)} are dropped. Operations are those of one clip, a "
        "multiply-add counted as two, by torch's FlopCounterMode. Milliseconds are medians, measured in turns.",
    ]
    lines = [f"| {' | '.join(row)} |" for row in (HEAD, ("---", *["---:"] * (len(HEAD) - 1)), *rows)]
    return "\n".join([*lines, *notes])
