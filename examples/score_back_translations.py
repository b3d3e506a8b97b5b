"""Score back-translations: add one column per text metric to a Parquet file.

    python examples/score_back_translations.py back_translations.parquet scored.parquet

Columns of the file: `lang` (of the source), `text` (the source) and `back_translation`. A missing back-translation gets
the worst score. The schema of the result has each metric's signature: compare only scores with equal signatures.
"""

from __future__ import annotations

import sys

import pyarrow as pa
import pyarrow.parquet as pq

from factory.metrics import METRICS


def main(source: str, target: str) -> None:
    """Write the table with its scores, and print the mean of each."""
    table = pq.read_table(source)
    rows = table.select(["lang", "text", "back_translation"]).to_pylist()
    for metric in (metric for metric in METRICS.values() if metric.compares_texts):
        scores = [
            metric.worst if row["back_translation"] is None
            else metric.score(row["back_translation"], row["text"], row["lang"])
            for row in rows
        ]  # fmt: skip
        signature = {"signature": metric.signature(rows[0]["lang"]), "better": metric.direction}
        table = table.append_column(pa.field(metric.name, pa.float64(), metadata=signature), [scores])
        print(f"{metric.name:8} {sum(scores) / len(scores):.3f}  (better: {metric.direction}; {metric.scale})")
    pq.write_table(table, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
