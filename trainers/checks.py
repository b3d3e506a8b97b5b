"""What can be wrong with training data and a policy before a step is taken, each in a sentence that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

_TOKEN = re.compile(r"<\|[a-z]+\d*\|>")
_SHOWN = 3


def check_tokens(texts: Iterable[str], vocabulary: Mapping[str, int], policy: str) -> None:
    """Raise ValueError when the texts hold units, tags or wrappers that the policy's vocabulary lacks: it would read them as letters."""
    missing = sorted({token for text in texts for token in _TOKEN.findall(text)} - set(vocabulary))
    if missing:
        more = f" and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
        raise ValueError(
            f"the policy {policy} has no token {', '.join(missing[:_SHOWN])}{more}: its vocabulary was made for another codebook, other "
            "languages or other tasks; take the codebook that it was made with, or train round 0 anew"
        )


def check_pairs(rows: Sequence[Mapping[str, str]], where: str) -> None:
    """Raise ValueError when a pair's two sides are the same (nothing can be learned from it) or one is empty."""
    for place, row in enumerate(rows):
        if row["chosen"] == row["rejected"]:
            raise ValueError(
                f"row {place} of {where} has the same text as chosen and as rejected ({row['chosen'][:60]!r}): leave it out"
            )
        if not (row["prompt"] and row["chosen"] and row["rejected"]):
            raise ValueError(f"row {place} of {where} has an empty prompt, chosen or rejected side: leave it out")


def check_targets(targets: Iterable[str], layers: Iterable[str], policy: str) -> None:
    """Raise ValueError when LoRA is asked for on layers (last part of a name) that the policy does not have."""
    known = sorted({name.rpartition(".")[2] for name in layers})
    if missing := [target for target in targets if target not in known]:
        named = ", ".join(missing)
        raise ValueError(
            f"preference.targets names {named}, which {policy} does not have; its linear layers: {', '.join(known)}"
        )


def none_fits(kind: str, count: int, where: str, longest: int, prompts: Sequence[int]) -> str:
    """Say that none of `count` sequences or pairs fits, and how many prompts fill the context by themselves."""
    full = sum(length >= longest for length in prompts)
    filled = f"; {full} prompts fill it by themselves, with no room for an answer" if full else ""
    return f"none of the {count} {kind} in {where} fits into {longest} tokens{filled}: raise max_length or leave long utterances out"
