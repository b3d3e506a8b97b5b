"""Let a policy transcribe and translate the recordings of a test set, clean and as a telephone would carry them.

    python benchmarks/speech_to_text.py --recipe recipes/phrasebook_part.yaml \\
        --policy runs/phrasebook_part/round-0/policy --to outputs.parquet

It serves policies of continuous speech and of units. Telephone speech has a sampling rate of 8 kHz and white noise 8 dB
below it. The last line is JSON: the WER of the transcripts and S2T BLEU, each with its 95 % interval, by condition and
direction. `--to` keeps the outputs; a call that finds them only scores them.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.part_measures import Measure  # noqa: E402
from factory.actors.encoder import Encoder  # noqa: E402
from factory.actors.hearing import Hearing  # noqa: E402
from factory.actors.round_trip import request_source  # noqa: E402
from factory.corpora.audio import encode, read, resample  # noqa: E402
from factory.corpora.base import Audio  # noqa: E402
from factory.metrics import bootstrap  # noqa: E402
from factory.models.engine import Engine, Sampling  # noqa: E402
from factory.passes.produce import build_engine_config  # noqa: E402
from factory.recipe.loading import load  # noqa: E402
from factory.recipe.recipe import Recipe  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from factory.storage.files import put_table  # noqa: E402
from schemas.audio import SAMPLE_RATE  # noqa: E402
from schemas.datasets import Row  # noqa: E402
from schemas.sequences import SOSP, Variant, parse, words  # noqa: E402

OUTPUTS = pa.schema(
    [(name, pa.string()) for name in ("condition", "utt_id", "src_lang", "tgt_lang", "transcript", "translation")]
    + [("text", pa.string()), ("reference", pa.string())]
)
"""What a policy wrote for each recording, and what it should have written."""
TELEPHONE_RATE, TELEPHONE_SNR = 8_000, 8.0
"""Hz, and dB."""
MAX_TOKENS, THREADS = 64, 2


def carry(row: Row) -> Audio:
    """Return the recording of a row of UTTERANCE as a telephone carries it; its id seeds the noise."""
    narrow = resample(resample(read(row["audio"]), SAMPLE_RATE, TELEPHONE_RATE), TELEPHONE_RATE)
    noise = np.random.default_rng(zlib.crc32(row["utt_id"].encode())).standard_normal(len(narrow))
    power = np.mean(np.square(narrow)) / 10 ** (TELEPHONE_SNR / 10)
    wave = np.clip(narrow + noise * np.sqrt(power), -1.0, 1.0)
    return {"bytes": encode(wave, "FLAC"), "path": None}


CONDITIONS: dict[str, Callable[[Row], Audio]] = {"clean": lambda row: row["audio"], "telephone": carry}


def write_outputs(policy: str, recipe: Recipe) -> list[Row]:
    """Return a row of OUTPUTS for each test recording and condition."""
    heard, llm = _hear(policy, _list_recordings(recipe), recipe)
    engine = Engine(llm, build_engine_config(recipe), hears=recipe.hears_speech)
    translation = recipe.policy.variant
    until = SOSP if translation.has_units else None  # a policy that speaks writes the text first
    requests = {}
    for index, row in enumerate(heard):
        own = row | {"tgt_lang": row["lang"]}
        requests[index, "transcript"] = request_source(own, Variant.ASR, Sampling(0.0, 1.0, 0, MAX_TOKENS))
        requests[index, "translation"] = request_source(row, translation, Sampling(0.0, 1.0, 0, MAX_TOKENS, until))
    outputs = engine.generate(requests, seed=0)
    for (index, column), output in outputs.items():
        variant = translation if column == "translation" else Variant.ASR
        heard[index][column] = words(parse(variant, output.text).text or "")
    return [{name: row[name] for name in OUTPUTS.names} for row in heard]


def _list_recordings(recipe: Recipe) -> list[Row]:
    """Return the test utterances with a text and a reference, in each condition."""
    rows = DatasetDir(recipe.corpus.test).rows().to_pylist()
    other = dict(zip(recipe.languages, reversed(recipe.languages), strict=True))
    return [
        row | {"condition": name, "src_lang": row["lang"], "tgt_lang": other[row["lang"]], "audio": change(row)}
        for name, change in CONDITIONS.items()
        for row in rows
        if row["text"] and row["reference"]
    ]


def _hear(policy: str, rows: list[Row], recipe: Recipe) -> tuple[list[Row], str]:
    """Return the rows with their embeddings or units, and the folder of the language model.

    Raises ValueError if a recording cannot be used: a score of the others would be one of another test set.
    """
    if recipe.hears_speech:
        hearing = Hearing(policy, recipe.encoder, THREADS)
        heard, llm = hearing(rows), hearing.llm
    else:
        heard, llm = Encoder(recipe.encoder, recipe.languages, THREADS).process(rows), policy
    if lost := [f"{row['utt_id']}: {row['reason']}" for row in heard if row.get("reason")]:
        raise ValueError(f"{len(lost)} recordings of {recipe.corpus.test} cannot be used; the first is {lost[0]}")
    return heard, llm


def score(rows: list[Row]) -> dict[str, dict[str, list[float]]]:
    """Return WER and S2T BLEU, each with the ends of its interval, by condition and direction."""
    scores: dict[str, dict[str, list[float]]] = {}
    for condition, direction in sorted({(row["condition"], f"{row['src_lang']}-{row['tgt_lang']}") for row in rows}):
        wer, bleu = (bootstrap.estimate(Measure(name, condition, direction).sample(rows)) for name in ("wer", "bleu"))
        scores[f"{condition} {direction}"] = {
            "wer": [round(value, 3) for value in wer],
            "s2t_bleu": [round(value, 2) for value in bleu],
        }
    return scores


def main() -> None:
    """Write the outputs that are missing, and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="recipes/phrasebook_part.yaml", help="(default: %(default)s)")
    parser.add_argument("--policy", required=True, help="the folder of the policy")
    parser.add_argument("--to", type=Path, help="the Parquet file of the outputs")
    options = parser.parse_args()
    if options.to and options.to.exists():
        rows = pq.read_table(options.to).to_pylist()
    else:
        rows = write_outputs(options.policy, load(options.recipe))
        if options.to:
            put_table(LocalFileSystem(), str(options.to.absolute()), pa.Table.from_pylist(rows, schema=OUTPUTS))
    print(json.dumps(score(rows)))


if __name__ == "__main__":
    main()
