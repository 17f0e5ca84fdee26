"""Frames and label rows of films of every encoder in every container, against plain decoding.

    python tests/sweep_frames.py                    # counts by container, and each wrong file with its recipe
    python tests/sweep_frames.py --every 40         # a fortieth of the combinations
    python tests/sweep_frames.py --out DIR          # wrong files are kept there, and all outcomes in outcomes.json
    python tests/sweep_frames.py --only libx264,ts  # combinations of an encoder or a container
    python tests/sweep_frames.py --allow            # also files that `clip.formats` must name: with their names in it

Every frame has its number as bars. Files are whole, cut between key frames, with an edit list, in fragments, late, and
joined. A file is equal, or refused: since its format is not allowed, since plain decoding shows nothing either, or
for another reason. All else is wrong: another frame, another number of frames, a row beside another frame, another
exception, a crash, or more than a minute."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True
os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "SVT_LOG": "0"}
sys.path[:0] = [str(Path(__file__).parent / "support"), str(Path(__file__).parents[1])]

from sweep_films import CHANGES, CONTAINERS, plan  # noqa: E402
from sweep_worker import WORDS, Outcome, sweep  # noqa: E402


def table(outcomes: list[Outcome], field: str, names: list[str]) -> str:
    """Counts by a field of the recipes, and of all."""
    counts = {name: Counter(o.word for o in outcomes if getattr(o.recipe, field) == name) for name in names}
    counts["all"] = Counter(o.word for o in outcomes)
    lines = [f"{field:12} {'files':>6} " + " ".join(f"{word:>13}" for word in WORDS)]
    for name, words in counts.items():
        if words:
            lines.append(f"{name:12} {words.total():6} " + " ".join(f"{words[word]:13}" for word in WORDS))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="of N combinations one")
    parser.add_argument("--only", default="", help="encoders and containers, with commas")
    parser.add_argument("--allow", action="store_true", help="allow every format")
    parser.add_argument("--out", type=Path, help="keep wrong files and all outcomes here")
    asked = parser.parse_args()
    only = set(filter(None, asked.only.split(",")))
    chosen = [each for each in plan() if only <= {*each}][:: asked.every]
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
    outcomes, begin = [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        for outcome in sweep(chosen, Path(folder), asked.out, asked.allow):
            outcomes.append(outcome)
            if outcome.word in ("wrong", "refused"):
                print(f"{outcome.word}: {outcome.recipe}: {outcome.text.replace(folder, '')}", flush=True)
    print(f"\n{table(outcomes, 'container', list(CONTAINERS))}\n\n{table(outcomes, 'change', list(CHANGES))}\n")
    encoded = {o.recipe[:2] for o in outcomes}
    print(f"{len(encoded)} variants of encoders, {len(chosen)} combinations, {time.monotonic() - begin:.0f} s")
    if asked.out:
        (asked.out / "outcomes.json").write_text(json.dumps([[*o.recipe, o.word, o.text] for o in outcomes], indent=1))
    return any(o.word == "wrong" for o in outcomes)


if __name__ == "__main__":
    sys.exit(main())
