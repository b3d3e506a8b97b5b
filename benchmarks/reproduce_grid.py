"""The cells of a reproduction: which runs there are, what each changes in its recipe, and its command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

from benchmarks.interleave_grid import make_interleave_cells
from benchmarks.part_grid import make_part_cells
from benchmarks.reproduce_cells import INTERLEAVE, PART, Cell, Sizes

DELTAS = (0.0, 0.05, 0.1, 0.2, 0.3)
BASE = "base"
FIRST = "com-start"
ROUND_0 = {
    BASE: ("sft.weights={com: 0.0, asr: 1.0, mt: 0.35}", "evaluate.s2t_utterances=1", "evaluate.asr_utterances=1"),
    "com": ("sft.weights={com: 1.0, asr: 0.0, mt: 0.1}",),
    "vanilla": ("policy.tasks={vanilla: 1.0, mt: 1.0}", "sft.weights={mt: 0.1}"),
    "tritask": ("sft.weights={vanilla: 1.0, s2t: 1.0, asr: 1.0, mt: 0.1}",),
}
"""Changes of the recipe in round 0. The base takes the role of the paper's language model, and all variants see the
same text. A tenth of the text is repeated; without it the policy forgets the back-translation of texts."""
SPLITS = {"paired": (0, 2_100), "mono": (2_100, 3_000), "test": (3_000, 4_000)}
"""Sentences of the paired corpus: round 0 learns from `paired`, rounds translate `mono`, evaluations use `test`."""
MORE = 1_000
"""Spoken sentences per language for rounds with more utterances, from `assets/phrasebook/mono_units.parquet`."""
INTERLEAVE_TEST = f"{INTERLEAVE}_test"
INTERLEAVE_TESTED = (250, 650)
"""The test set of tables G and H, and its sentences of `assets/phrasebook/mono_units.parquet`: after those that ship as
speech, which rounds translate. `assets/phrasebook_es/test_units.parquet` has as many into and out of Spanish."""
SPOKEN = (
    "translator={n: 2, temperature: 1.0, unit_temperature: null, back_translate: speech}",
    "scorer.metrics=[bleu, chrf, meteor, wer, mcd]",
)
"""The paper's back-translation instead of the recipe's: two candidates, and their speech is translated back."""


def make_grid(sizes: Sizes) -> Iterator[Cell]:
    """Yield all cells in an order in which they can run."""
    base = (*ROUND_0[BASE], f"sft.epochs={sizes.base_epochs}", "policy.start=null")
    yield Cell(BASE, BASE, sizes.seeds[0], base, rounds="0")
    for variant in ("com", "vanilla", "tritask"):
        for seed in sizes.seeds if variant == "com" else sizes.seeds[:1]:
            start, main = f"{variant}-start", f"{variant}-s{seed}-bleu"
            epochs = sizes.epochs // 2 if variant == "tritask" else sizes.epochs
            if seed == sizes.seeds[0]:
                yield Cell(start, variant, seed, (*ROUND_0[variant], f"sft.epochs={epochs}"), rounds="0", base=BASE)
            yield Cell(main, variant, seed, ("select.metric=bleu",), base=start)
            yield Cell(f"{variant}-s{seed}-meteor", variant, seed, ("select.metric=meteor",), base=start, shares=main)
            if variant == "com":
                more = ("corpus.mono={out}/more.parquet", f"corpus.limit={sizes.limit + MORE}")
                yield Cell(f"com-s{seed}-more", variant, seed, more, base=start)
    yield from _make_first_seed(sizes)
    yield from make_interleave_cells(sizes)
    yield from make_part_cells(sizes)


def _make_first_seed(sizes: Sizes) -> Iterator[Cell]:
    """Yield the cells of tables B to F: chain of modality with the first seed."""
    seed = sizes.seeds[0]
    main = f"com-s{seed}-bleu"

    def cell(name: str, *changes: str, rounds: str = "1", shares: str | None = main) -> Cell:
        return Cell(f"com-s{seed}-{name}", "com", seed, changes, rounds, FIRST, shares)

    yield cell("paired", "corpus.source=paired", shares=None)
    yield cell("spoken", *SPOKEN, shares=None)
    for metric in ("wer", "chrf"):
        yield cell(metric, f"select.metric={metric}")
    yield cell("mcd", *SPOKEN, "select.metric=mcd", "select.delta=0.25", shares=f"com-s{seed}-spoken")
    simpo = ("loss=simpo", "beta=2.0", "gamma=1.0", "unit_weight=1.0", "unit_kl=0")
    yield cell("simpo", *(f"preference.{change}" for change in simpo))
    for share, name in ((4, "quarter"), (2, "half")):
        yield cell(name, f"select.pairs={{pairs_{share}}}")
    yield cell("two-rounds", f"corpus.limit={sizes.limit // 2}", "rounds.stop=null", rounds="1-2", shares=None)
    for delta in DELTAS:
        if delta != 0.1:
            yield cell(f"delta-{delta:g}", f"select.delta={delta}")


def make_command(cell: Cell, sizes: Sizes, out: Path, changes: list[str], pairs: int) -> list[str]:
    """Return the command line of a cell.

    Args:
        cell: the cell. In its changes, `{pairs_N}` becomes an Nth of `pairs`, and `{out}` the folder of the runs.
        sizes: the sizes of the reproduction.
        out: the folder of the runs.
        changes: changes of every recipe.
        pairs: pairs per direction of the cell whose candidates it shares.
    """
    own_recipes = {BASE: "phrasebook.yaml", "com": "phrasebook.yaml", INTERLEAVE: "phrasebook_es.yaml"}
    recipe = own_recipes.get(cell.variant, f"phrasebook_{cell.variant}.yaml")
    common = [f"seed={cell.seed}", *(_describe_corpora(cell, sizes, out) if cell.variant != PART else ())]
    if cell.base:
        common.append(f"policy.{'base' if cell.rounds == '0' else 'start'}={out / cell.base}/round-0/policy")
    values = {"{out}": str(out)} | {f"{{pairs_{share}}}": str(max(1, pairs // share)) for share in (2, 4)}
    own = [reduce(lambda text, name: text.replace(name, values[name]), values, change) for change in cell.changes]
    sets = [part for change in (*common, *own, *changes) for part in ("--set", change)]
    return [
        *(sys.executable, "factory/run_round.py", "--recipe", f"recipes/{recipe}"),
        *("--run", str(out / cell.name), "--round", cell.rounds, *sets),
    ]


def _describe_corpora(cell: Cell, sizes: Sizes, out: Path) -> list[str]:
    """Return the changes of the corpora of units; a policy of continuous speech has the recordings of its recipe."""
    corpora = {"test": INTERLEAVE_TEST} if cell.variant == INTERLEAVE else {name: name for name in SPLITS}
    return [
        f"corpus.limit={sizes.limit}",
        *(f"corpus.{name}={out / file}.parquet" for name, file in corpora.items()),
        f"evaluate.s2t_utterances={sizes.s2t}",
        f"evaluate.asr_utterances={sizes.asr}",
    ]
