"""Is there anything to learn from? What the round trip prefers among n candidates, beside what the policy says when it is greedy.

    python benchmarks/best_of.py --policy assets/phrasebook/policy --corpus assets/phrasebook/dev.parquet --limit 100
    python benchmarks/best_of.py --set translator.back_translate=speech --set translator.unit_temperature=null    # as the paper has it

Preference training moves a policy towards the chosen candidates. Where those are no better than its greedy output there
is nothing to gain, however right the labels are. S2T BLEU against references (0..100) of greedy, of a candidate drawn
at random, of the text that most candidates have, of the best and the worst of n by the round trip (BLEU of the way
back), and of the best by the reference, which nobody has. A line each temperature and direction; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import sacrebleu

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.actors.translator import Translator  # noqa: E402
from factory.passes.produce import translator_arguments  # noqa: E402
from factory.recipe.loading import load  # noqa: E402
from factory.recipe.recipe import Recipe  # noqa: E402
from schemas.datasets import (  # noqa: E402
    OK,
    UNITS,
    UNSPOKEN,
    Row,  # noqa: E402
)
from schemas.sequences import words  # noqa: E402


def utterances(corpus: Path, limit: int) -> pa.Table:
    """Return the first `limit` rows a direction of a PAIRED file as rows of UNITS with a `tgt_lang`."""
    rows = pq.read_table(corpus).to_pylist()
    chosen = [
        row
        for lang in sorted({row["src_lang"] for row in rows})
        for row in [r for r in rows if r["src_lang"] == lang][:limit]
    ]
    told = [
        {
            "utt_id": row["pair_id"],
            "lang": row["src_lang"],
            "text": row["src_text"],
            "reference": row["tgt_text"],
            "status": OK,
        }
        | {"units": row["src_units"], "split": "dev"}
        for row in chosen
    ]
    return pa.Table.from_pylist(told, schema=UNITS).append_column(
        "tgt_lang", pa.array([row["tgt_lang"] for row in chosen])
    )


def translated(recipe: Recipe, policy: str, table: pa.Table, n: int, temperature: float) -> list[Row]:
    """Return the rows with n candidates and their ways back."""
    actor = Translator(**(translator_arguments(recipe, policy) | {"n": n, "temperature": temperature}))
    rows = [row for start in range(0, table.num_rows, 100) for row in actor(table.slice(start, 100)).to_pylist()]
    actor.release()
    return rows


def home(row: Row, candidate: Row) -> float:
    """Return the BLEU (0..100) of a candidate's way back, -1 where it or its way back is malformed."""
    if candidate["finish"] not in (OK, UNSPOKEN) or candidate["back_translation_finish"] != OK:
        return -1.0
    return sacrebleu.sentence_bleu(candidate["back_translation"] or "", [row["text"]]).score


def right(row: Row, candidate: Row) -> float:
    """Return the BLEU (0..100) of a candidate against the reference."""
    return sacrebleu.sentence_bleu(text(candidate), [row["reference"]]).score


def text(candidate: Row) -> str:
    """Return what a candidate says."""
    return words(candidate["text"] or "")


def most_frequent(candidates: list[Row]) -> Row:
    """Return the first candidate with the text that most of them have."""
    counts = Counter(map(text, candidates))
    return max(candidates, key=lambda candidate: counts[text(candidate)])


def scores(rows: list[Row]) -> dict[str, float]:
    """Return the corpus BLEU of each way to choose among the candidates."""
    references = [[row["reference"] for row in rows]]
    ways = {
        "random": [row["candidates"][0] for row in rows],
        "most frequent": [most_frequent(row["candidates"]) for row in rows],
        "best": [max(row["candidates"], key=lambda candidate, row=row: home(row, candidate)) for row in rows],
        "worst": [min(row["candidates"], key=lambda candidate, row=row: home(row, candidate)) for row in rows],
        "oracle": [max(row["candidates"], key=lambda candidate, row=row: right(row, candidate)) for row in rows],
    }
    return {
        way: round(sacrebleu.corpus_bleu([text(one) for one in chosen], references).score, 1)
        for way, chosen in ways.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="best_of", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--policy", default=str(ROOT / "assets/phrasebook/policy"), help="folder of the policy (default: %(default)s)"
    )
    parser.add_argument(
        "--corpus", type=Path, default=ROOT / "assets/phrasebook/dev.parquet", help="PAIRED rows it has not seen"
    )
    parser.add_argument("--limit", type=int, default=100, help="utterances a direction (default: %(default)s)")
    parser.add_argument("--n", type=int, default=8, help="candidates (default: %(default)s)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of recipes/phrasebook.yaml; may be repeated",
    )
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.5, 0.7, 1.0])
    asked = parser.parse_args()
    recipe, table = load(ROOT / "recipes/phrasebook.yaml", asked.set), utterances(asked.corpus, asked.limit)
    found: list[Row] = []
    for temperature, n in ((0.0, 1), *((temperature, asked.n) for temperature in asked.temperatures)):
        rows = translated(recipe, asked.policy, table, n, temperature)
        for lang in sorted({row["src_lang"] for row in rows}):
            found.append(
                {"temperature": temperature, "n": n, "from": lang}
                | scores([row for row in rows if row["src_lang"] == lang])
            )
            print(json.dumps(found[-1]), flush=True)
    print(json.dumps({"policy": Path(asked.policy).name, "utterances": asked.limit, "found": found}))


if __name__ == "__main__":
    main()
