"""Comparisons: the table by hand from a journal, its forms, and what cannot be compared."""

import json
import math

import pytest
import yaml

import taskprompt as tp
from taskprompt.core.metrics import NOTHING
from taskprompt.reporting.comparison_table import write_comparison
from taskprompt.reporting.sweep_page import write_sweep_page
from taskprompt.runtime.sweeps.journal import Journal
from taskprompt.sweeps.comparison import compare_rows, comparison_sweep, mean
from taskprompt.sweeps.run import SweepRun
from taskprompt.sweeps.trials import TrialRow


@pytest.fixture
def run(comparison) -> SweepRun:
    return comparison


def test_the_table_by_hand(run):
    plain, pvit = compare_rows(run.trials(), run.sweep.names)
    assert plain.value is not None
    assert pvit.value is not None
    assert pvit.gain is not None
    assert math.isclose(plain.value.mean, 0.32)
    assert math.isclose(plain.value.half, 4.302653 * 0.02 / math.sqrt(3), rel_tol=1e-6)  # t of 2 degrees, deviation
    assert (pvit.value.count, pvit.gain.count) == (2, 2)
    assert math.isclose(pvit.gain.mean, 0.085)  # of 0.10 and 0.07, by seed
    assert math.isclose(pvit.gain.half, 12.706205 * 0.015, rel_tol=1e-6)
    assert plain.gain is None
    assert (plain.minutes, pvit.minutes) == (2.0, 2.0)
    assert pvit.failed == ("seed 2: step 3: the loss is nan.",)


def test_its_forms(run):
    texts = write_comparison(run)
    assert [(run.path / name).read_text() for name in texts] == list(texts.values())
    lines = texts["comparison.md"].splitlines()
    assert lines[0] == "| recipe | runs | top-1 (%) ↑ | over plain | minutes per run |"
    assert lines[2:4] == [
        f"| plain | 3 | 32.0 ± 5.0 | {NOTHING} | 2.0 |",
        "| p_vit | 2 | 40.5 ± 6.4 | +8.5 ± 19.1 | 2.0 |",
    ]
    assert lines[-1] == "- p_vit, seed 2: step 3: the loss is nan."
    assert r"p\_vit & 2 & $40.5 \pm 6.4$ & $+8.5 \pm 19.1$ & 2.0 \\" in texts["comparison.tex"]
    assert json.loads(texts["comparison.json"])["recipes"][1]["gain"]["runs"] == 2


def test_it_grows_by_recipes_and_seeds(run, files, squares, tmp_path):
    """What has ended stays, whatever its place in the grid is now; only what is new is begun."""
    (tmp_path / "shared.yaml").write_text(yaml.safe_dump(squares | {"prompter": {"kind": "shared"}}))
    sweep = comparison_sweep([files[0], str(tmp_path / "shared.yaml"), files[1]], 4, "test/action/top1", None, {})
    before = run.trials()
    journal = Journal(SweepRun.start(run.path, sweep, resume=True), 6, lambda *_: None)
    begun = [row.values for row in iter(journal.next, None)]
    assert begun == [v for v in sweep.combinations() if v["recipe"] == "shared" or v["seed"] == 3]
    assert len(begun) == 6
    assert journal.rows[:6] == before
    rows = compare_rows(journal.rows, journal.sweep.names)
    assert [row.recipe for row in rows] == ["plain", "shared", "p_vit"]
    assert rows[2].gain == compare_rows(before, ("plain", "p_vit"))[1].gain
    again = Journal(SweepRun.start(run.path, sweep, resume=True), 6, lambda *_: None)  # killed, and gone on with
    assert [row.values for row in iter(again.next, None)] == begun


def test_it_does_not_shrink_or_change(run, files, squares):
    with pytest.raises(tp.CheckpointError, match="holds another sweep; these differ: search"):
        SweepRun.start(run.path, comparison_sweep(files, 2, "test/action/top1", None, {}), resume=True)
    (run.path.parent / "plain.yaml").write_text(yaml.safe_dump(squares | {"seed": 7}))
    with pytest.raises(tp.CheckpointError, match="holds another sweep; these differ: recipe"):
        SweepRun.start(run.path, comparison_sweep(files, 4, "test/action/top1", None, {}), resume=True)


def test_the_page_shows_it(run):
    page = write_sweep_page(run).read_text()
    assert "<h2>Comparison of recipes</h2>" in page
    assert "<td>p_vit</td><td>2</td><td>40.5 ± 6.4</td><td>+8.5 ± 19.1</td><td>2.0</td>" in page
    assert page.count("<th>recipe</th>") == 2  # there, and among what the trials' values are


def test_a_mean_of_one_has_no_interval_and_of_none_is_none():
    one = mean([0.5])
    assert one is not None
    assert one.mean == 0.5
    assert math.isnan(one.half)
    assert mean([]) is None


def test_what_it_varies(files):
    sweep = comparison_sweep(files, 2, "test/action/top1", None, {"stages.0.steps": 40})
    assert (sweep.mode, sweep.count, sweep.searcher) == ("max", 4, "grid")
    assert sweep.overrides == {"evaluate_every": 1, "stages.0.steps": 40}  # a quarter of six steps
    assert comparison_sweep(files, 1, "test/depth/RMSE_m", None, {}).mode == "min"


def test_pairs_share_seed_and_fold(files):
    over = {"sources.labelled.clips, held_out.test.clips": [4, 6]}
    sweep = comparison_sweep(files, 2, "test/action/top1", None, {}, over=over)
    combinations = sweep.combinations()
    assert [c["recipe"] for c in combinations] == ["plain", "p_vit"] * 4
    values = [0.1, 0.2, 0.5, 0.8, 0.2, 0.2, 0.4, 0.5]  # both recipes: seed 0 and either fold, then seed 1
    rows = [TrialRow(i, c, [6], [v], 60, "done") for i, (c, v) in enumerate(zip(combinations, values, strict=True))]
    pvit = compare_rows([r for r in rows if r.number != 5], sweep.names)[1]  # one run of it has not ended
    assert pvit.gain is not None
    assert pvit.gain.count == 3
    assert math.isclose(pvit.gain.mean, (0.1 + 0.3 + 0.1) / 3)


@pytest.mark.parametrize(
    ("count", "seeds", "options", "words"),
    [
        (1, 5, {}, "found 1 recipe and 5 seeds, expected at least two recipes"),
        (2, 0, {}, "found 2 recipes and 0 seeds"),
        (2, 1, {"metric": None}, "metric: none is given. Measured: test/action/..., test/depth/..."),
        (
            2,
            1,
            {"metric": "test/action/odd"},
            "does not declare whether higher or lower is better. Give `mode`",
        ),
        (2, 1, {"overrides": {"seed": 3}}, "search.seed: is fixed in overrides"),
    ],
)
def test_what_cannot_be_compared(files, tmp_path, count, seeds, options, words):
    with pytest.raises(tp.TaskPromptError) as error:
        tp.compare(files[:count], tmp_path / "new", seeds=seeds, **{"metric": "test/action/top1", **options})
    assert words in str(error.value)
    assert not (tmp_path / "new").exists()
