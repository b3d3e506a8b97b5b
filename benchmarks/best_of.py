"""Compare the candidates that the round trip prefers with the greedy output of the policy: is there anything to learn?

    python benchmarks/best_of.py --policy assets/phrasebook/policy --corpus assets/phrasebook/dev.parquet --limit 100
    python benchmarks/best_of.py --set translator.back_translate=speech --set translator.unit_temperature=null

The second command translates speech back, as the paper does. Preference training moves a policy towards the chosen
candidates. If those are no better than its greedy output, training gains nothing, however right the labels are.

The figures are S2T BLEU against references (0..100) of the greedy output, of a random candidate, of the most frequent
text, of the candidates with the best and with the worst back-translation (by BLEU), and of the best candidate by the
reference, which no policy knows. There is one line per temperature and direction; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import sacrebleu

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.actors.translator import Translator  # noqa: E402
from factory.passes.produce import build_engine_config, build_job  # noqa: E402
from factory.recipe.loading import load  # noqa: E402
from factory.recipe.recipe import Recipe  # noqa: E402
from schemas.datasets import OK, UNITS, UNSPOKEN, Candidate, Row  # noqa: E402
from schemas.sequences import words  # noqa: E402

BATCH = 100
"""Utterances that are translated together."""


def read_utterances(corpus: Path, limit: int) -> pa.Table:
    """Return the first `limit` rows per direction of a PAIRED file as rows of UNITS with a `tgt_lang`."""
    rows = pq.read_table(corpus).to_pylist()
    langs = sorted({row["src_lang"] for row in rows})
    first = [row for lang in langs for row in [row for row in rows if row["src_lang"] == lang][:limit]]
    utterances = [
        {
            "utt_id": row["pair_id"],
            "lang": row["src_lang"],
            "text": row["src_text"],
            "reference": row["tgt_text"],
            "units": row["src_units"],
            "split": "dev",
            "status": OK,
        }
        for row in first
    ]
    targets = pa.array([row["tgt_lang"] for row in first])
    return pa.Table.from_pylist(utterances, schema=UNITS).append_column("tgt_lang", targets)


def translate(recipe: Recipe, policy: str, table: pa.Table, n: int, temperature: float) -> list[Row]:
    """Return the rows with n candidates and their back-translations.

    Args:
        recipe: how to translate.
        policy: folder of the policy.
        table: rows of UNITS with a `tgt_lang`.
        n: candidates per utterance.
        temperature: of the candidates.
    """
    config = replace(recipe.translator, n=n, temperature=temperature)
    actor = Translator(policy, config, build_job(recipe), build_engine_config(recipe))
    rows = [row for start in range(0, table.num_rows, BATCH) for row in actor(table.slice(start, BATCH)).to_pylist()]
    actor.release()
    return rows


def back_bleu(row: Row, candidate: Candidate) -> float:
    """Return the BLEU (0..100) of a candidate's back-translation, -1 if it or the candidate is malformed."""
    if candidate["finish"] not in (OK, UNSPOKEN) or candidate["back_translation_finish"] != OK:
        return -1.0
    return sacrebleu.sentence_bleu(candidate["back_translation"] or "", [row["text"]]).score


def reference_bleu(row: Row, candidate: Candidate) -> float:
    """Return the BLEU (0..100) of a candidate against the reference."""
    return sacrebleu.sentence_bleu(text_of(candidate), [row["reference"]]).score


def text_of(candidate: Candidate) -> str:
    """Return the text of a candidate."""
    return words(candidate["text"] or "")


def most_frequent(row: Row) -> Candidate:
    """Return the first candidate with the most frequent text."""
    candidates: list[Candidate] = row["candidates"]
    counts = Counter(map(text_of, candidates))
    return max(candidates, key=lambda candidate: counts[text_of(candidate)])


def compute_scores(rows: list[Row]) -> dict[str, float]:
    """Return the corpus BLEU of each way to choose among the candidates."""
    references = [[row["reference"] for row in rows]]
    choices: dict[str, list[Candidate]] = {
        "random": [row["candidates"][0] for row in rows],
        "most frequent": [most_frequent(row) for row in rows],
        "best": [max(row["candidates"], key=partial(back_bleu, row)) for row in rows],
        "worst": [min(row["candidates"], key=partial(back_bleu, row)) for row in rows],
        "oracle": [max(row["candidates"], key=partial(reference_bleu, row)) for row in rows],
    }
    return {
        name: round(sacrebleu.corpus_bleu(list(map(text_of, candidates)), references).score, 1)
        for name, candidates in choices.items()
    }


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="best_of", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--policy", default=str(ROOT / "assets/phrasebook/policy"), help="folder of the policy (default: %(default)s)"
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        default=ROOT / "assets/phrasebook/dev.parquet",
        help="Parquet of held-out PAIRED rows (default: %(default)s)",
    )
    parser.add_argument("--limit", type=int, default=100, help="utterances per direction (default: %(default)s)")
    parser.add_argument("--n", type=int, default=8, help="candidates (default: %(default)s)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a key of recipes/phrasebook.yaml; may be repeated",
    )
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.5, 0.7, 1.0])
    return parser.parse_args()


def main() -> None:
    """Measure, and print the summary as the last line."""
    options = parse_options()
    recipe, table = load(ROOT / "recipes/phrasebook.yaml", options.set), read_utterances(options.corpus, options.limit)
    lines: list[Row] = []
    for temperature, n in ((0.0, 1), *((temperature, options.n) for temperature in options.temperatures)):
        rows = translate(recipe, options.policy, table, n, temperature)
        for lang in sorted({row["src_lang"] for row in rows}):
            scores = compute_scores([row for row in rows if row["src_lang"] == lang])
            lines.append({"temperature": temperature, "n": n, "from": lang} | scores)
            print(json.dumps(lines[-1]), flush=True)
    print(json.dumps({"policy": Path(options.policy).name, "utterances": options.limit, "found": lines}))


if __name__ == "__main__":
    main()
