"""Make preference pairs from candidates of your own.

    python examples/make_pairs.py candidates.parquet pairs.parquet

Input columns: utt_id, src_lang, tgt_lang, text, units, and `candidates`: a list of {text, units, back_translation}.
Output columns: PAIR (schemas/datasets.py), with prompt, chosen and rejected. A row without a pair has a reason.
"""

from __future__ import annotations

import sys
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq

from factory.metrics import METRICS
from factory.passes.select import make_pair
from factory.recipe.sections import SelectConfig
from schemas.datasets import PAIR
from schemas.sequences import Variant


def main(source: str, target: str) -> None:
    """Score the candidates of each row, select its pair, and print how many pairs there are."""
    config, metric, rows = SelectConfig(metric="chrf", delta=0.1), METRICS["chrf"], pq.read_table(source).to_pylist()
    for row in rows:
        row["status"] = "ok"
        for candidate in row["candidates"]:
            score = metric.score(candidate["back_translation"], row["text"], row["src_lang"])
            candidate |= {"finish": "ok", "scores": {metric.name: score}}
    pairs = [make_pair(row, config, Variant.COM, (metric.name,)) for row in rows]
    print(Counter((pair["reason"] or "a pair").partition(":")[0] for pair in pairs))
    pq.write_table(pa.Table.from_pylist(pairs, schema=PAIR), target)


if __name__ == "__main__":
    main(*sys.argv[1:])
