"""Pairs of renditions: do they teach the policy to speak more clearly?

    python benchmarks/rendition_pairs.py make --out runs/renditions.parquet
    python -m trainers.preference --pairs runs/renditions.parquet --policy assets/station/policy \\
        --out runs/renditions-policy --seed 1 unit_weight=1.0 sft_weight=1.0 lr=5e-4 rank=32 epochs=2 batch=8
    python benchmarks/rendition_pairs.py judge --limit 300 --policies assets/station/policy runs/renditions-policy

`make` lets the shipped policy translate the monolingual utterances of both languages greedily, samples `--n` renditions
of each text, and pairs the one with the highest log-probability per token (chosen) with the one with the lowest. No
recognizer takes part. `judge` lets each policy translate the test utterances greedily, and compares what is heard: the
word error rate against the policy's own text, and BLEU against the reference (ASR-BLEU), over the utterances
that all policies translate into something well-formed. Differences are to the first policy, with 95 % bootstrap
intervals over utterances. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.renditions import Listener, Rendition, Speaker, Text  # noqa: E402
from factory.metrics import bootstrap, normalise  # noqa: E402
from factory.recipe.loading import load  # noqa: E402
from factory.recipe.recipe import Recipe  # noqa: E402
from schemas.datasets import Row  # noqa: E402
from schemas.sequences import completion  # noqa: E402


def make_pair(name: str, text: Text, renditions: list[Rendition], recipe: Recipe) -> Row | None:
    """Return the pair of the likeliest and the least likely rendition; None if they are the same."""
    ordered = sorted(renditions, key=lambda one: one.own)
    if len(ordered) < 2 or ordered[0].units == ordered[-1].units:
        return None
    variant = recipe.policy.variant
    sides = {side: completion(variant, text.words, ordered[at].units) for side, at in (("chosen", -1), ("rejected", 0))}
    return {"pair_id": name, "prompt": text.prompt, **sides, "margin": ordered[-1].own - ordered[0].own}


def make(options: argparse.Namespace) -> None:
    """Write the pairs of both languages."""
    recipe, rows = load(options.recipe), []
    for lang in recipe.languages:
        speaker = Speaker(recipe, lang)
        texts = speaker.write_texts(options.limit, recipe.corpus.mono)
        for number, ones in enumerate(speaker.render(texts, options.n, options.temperature)):
            if pair := make_pair(f"{lang}-{number}", texts[number], ones, recipe):
                rows.append(pair)
        speaker.engine.release()
        print(f"{lang}: {len(texts)} texts, {len(rows)} pairs so far", flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), options.out)
    print(json.dumps({"pairs": len(rows), "n": options.n, "temperature": options.temperature}))


def hear(policy: str, lang: str, options: argparse.Namespace) -> dict[str, tuple[str, Text]]:
    """Return the transcript and the text of each well-formed translation of a policy into a language, by its prompt."""
    recipe = load(options.recipe, [f"policy.start={policy}"])
    speaker, listener = Speaker(recipe, lang), Listener(recipe, lang)
    texts = speaker.write_texts(options.limit)
    speaker.engine.release()
    heard = listener.transcribe([text.greedy for text in texts])
    return {text.prompt: (said, text) for said, text in zip(heard, texts, strict=True)}


def make_samples(heard: list[tuple[str, Text]], lang: str) -> dict[str, bootstrap.Sample]:
    """Return the samples of WER and of BLEU of what is heard."""
    said, words, references = zip(*((said, text.words, text.reference) for said, text in heard), strict=True)
    plain = [[normalise.text(one, lang) for one in side] for side in (said, references)]
    return {"wer": bootstrap.corpus("wer", said, words, lang), "asr_bleu": bootstrap.corpus("bleu", *plain, lang)}


def judge(options: argparse.Namespace) -> None:
    """Compare what is heard of policies."""
    found: dict[str, list[float]] = {}
    for lang in load(options.recipe).languages:
        heard = {policy: hear(policy, lang, options) for policy in options.policies}
        both = [prompt for prompt in heard[options.policies[0]] if all(prompt in one for one in heard.values())]
        samples = {policy: make_samples([one[prompt] for prompt in both], lang) for policy, one in heard.items()}
        first = samples.pop(options.policies[0])
        found |= {f"{lang} utterances": [len(both)]}
        found |= {f"{lang} {name}": [round(sample.point(), 3)] for name, sample in first.items()}
        for policy, others in samples.items():
            for name, sample in others.items():
                change = bootstrap.compare(sample, first[name]).difference
                found[f"{lang} {name} {policy}"] = [round(value, 3) for value in (sample.point(), *change)]
        print(json.dumps(found), flush=True)
    print(json.dumps(found))


def main() -> None:
    """Run the action that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("make", "judge"))
    parser.add_argument("--recipe", default=str(ROOT / "recipes/station.yaml"), help="the recipe (default: station)")
    parser.add_argument("--limit", type=int, default=250, help="utterances per language (default: %(default)s)")
    parser.add_argument("--n", type=int, default=8, help="renditions of a text (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=0.3)
    parser.add_argument("--out", type=Path, default=Path("runs/renditions.parquet"))
    parser.add_argument("--policies", nargs="+", default=["assets/station/policy"])
    options = parser.parse_args()
    make(options) if options.action == "make" else judge(options)


if __name__ == "__main__":
    main()
