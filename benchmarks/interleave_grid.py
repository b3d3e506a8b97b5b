"""The cells of tables G and H: text inside speech in round 0 (arXiv 2506.10299), and preference rounds after it.

French and English have 4,000 paired sentences, Spanish and English 400. All cells start from a small language model
that knows only text, as the paper's does, and see the same pairs as often, in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.reproduce_cells import INTERLEAVE, Cell, Sizes

TEXT = f"{INTERLEAVE}-text"
FIRST_SPOKEN = f"{INTERLEAVE}-none-s1"
DIRECTIONS = ("fr-en", "es-en")
ROUND_DIRECTIONS = ("fr-en", "en-fr", "es-en", "en-es")
EVERY = 120
"""Steps between two falls of the share of text, which is therefore 0 from step 1,080 on, of some 1,570."""
CONSTANT = 0.3
"""The constant share of text: about the mean of the schedule. The paper's is not known to us."""
HEARD, HEARD_AFTER_A_ROUND = 100, 50
"""Test utterances per direction that are synthesised and transcribed."""
SPANS = {
    "none": None,
    "scheduled": "",
    "constant": f", start: {CONSTANT}, step: 0.0",
    "source": ", sides: source",
    "target": ", sides: target",
    "mask": ", fill: mask",
    "uniform": ", units: uniform",
}
"""The rows of table G, and what each changes in the schedule; None: no text inside speech."""
REPEATED = ("none", "scheduled")
"""The rows with all seeds; the others have the first one."""


def make_interleave_cells(sizes: Sizes) -> Iterator[Cell]:
    """Yield the cells of tables G and H in an order in which they can run: what decides the most comes first."""
    text = ("sft.weights={cot: 0.0, mt: 1.0}", f"sft.epochs={sizes.text_epochs}")
    once = ("evaluate.s2t_utterances=1", "evaluate.asr_utterances=1")
    yield Cell(
        TEXT, INTERLEAVE, sizes.seeds[0], (*_directions(DIRECTIONS), *text, *once, "policy.start=null"), rounds="0"
    )
    first = sizes.seeds[0]
    yield from (_make_cell(row, seed, sizes) for seed in sizes.seeds for row in REPEATED)
    yield from (_make_cell(row, first, sizes) for row in SPANS if row not in REPEATED)
    for row in REPEATED:
        start, heard = f"{INTERLEAVE}-{row}-s{first}", f"evaluate.asr_utterances={HEARD_AFTER_A_ROUND}"
        changes = (*_directions(ROUND_DIRECTIONS), heard, "corpus.limit=250")
        yield Cell(f"{INTERLEAVE}-round-{row}", INTERLEAVE, first, changes, base=start)


def _make_cell(row: str, seed: int, sizes: Sizes) -> Cell:
    """Return the cell of a row of table G."""
    spans = SPANS[row]
    interleave = () if spans is None else (f"sft.interleave={{every: {EVERY}{spans}}}",)
    weights = ("sft.weights={cot: 1.0, mt: 0.1}", f"sft.epochs={sizes.interleave_epochs}")
    changes = (*_directions(DIRECTIONS), *weights, *interleave, f"evaluate.asr_utterances={HEARD}")
    return Cell(f"{INTERLEAVE}-{row}-s{seed}", INTERLEAVE, seed, changes, rounds="0", base=TEXT)


def _directions(directions: tuple[str, ...]) -> tuple[str, ...]:
    """Return the changes that all cells have: chain of thought, text translation, and these directions."""
    tasks = ("policy.variant=cot", "policy.tasks={cot: 1.0, mt: 1.0}")
    return (f"directions=[{', '.join(directions)}]", *tasks)
