"""Packs the pairs of a batch for one forward pass: a prompt is computed once, and no token whose output has no use.

A pair becomes a tree: its prompt without the last token, then a branch for each side, which begins with a copy of that
last token. Rows hold several trees; a mask and positions keep them apart, so that each state is the one of its sequence
computed alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

ROW = 256
"""Tokens of a row, unless a tree is longer: few tokens are padding, and attention within a row stays cheap."""
PADDING = -1
"""The tree of a token that fills a row."""


class Packed(NamedTuple):
    """A batch of B pairs, 2B sequences of at most T tokens, in N rows of W tokens."""

    inputs: dict[str, Tensor | None]
    """`input_ids` (N, W), `position_ids` (N, W) and `attention_mask` (N, 1, W, W), or None: causal."""
    labels: Tensor
    """The tokens to score, (scored,)."""
    scored: Tensor
    """Which positions of the sequences predict a token to score, (2B, T - 1)."""
    scored_at: Tensor
    """Where these positions are in the flattened rows, (scored,)."""
    kept_at: Tensor
    """Where the positions are whose states are wanted, (kept,)."""


class _Piece(NamedTuple):
    """A part of a sequence: tokens `start` to `stop`, in a branch (0: the prompt of a tree)."""

    sequence: int
    start: int
    stop: int
    branch: int

    @property
    def length(self) -> int:
        return self.stop - self.start


_Tree = Sequence[_Piece]


def shares_prompts(model: PreTrainedModel) -> bool:
    """Return True if the model attends to all tokens that a mask allows, and to no others, in every layer."""
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    whole = layers == {"full_attention"} and not getattr(config, "sliding_window", None)
    return whole and hasattr(config, "num_attention_heads") and config._attn_implementation == "sdpa"


def pack(inputs: Mapping[str, Tensor], scored: Tensor, kept: Tensor, *, share: bool) -> Packed:
    """Pack a batch as TRL collates it, with the chosen sides in its first half.

    Args:
        inputs: `input_ids`, `attention_mask` and `completion_mask`, each (2B, T).
        scored: which positions predict a token whose log-probability is wanted, (2B, T - 1).
        kept: which positions have states that are wanted, (2B, T - 1).
        share: both sides share their prompt (`shares_prompts`); if not, a row holds one sequence.
    """
    ids = inputs["input_ids"]
    prompts = (inputs["attention_mask"].bool() & ~inputs["completion_mask"].bool()).sum(1).tolist()
    used = scored | kept
    last = torch.where(used, torch.arange(1, ids.shape[1], device=ids.device), 0)
    stops = [] if not used.numel() else last.amax(1).tolist()
    if share:
        rows = _fill_rows(_trees(prompts, stops))
    else:
        rows = [[[_Piece(index, 0, stop, 0)]] for index, stop in enumerate(stops) if stop]
    return _lay_out(ids, rows, scored, kept, share)


@contextmanager
def packed_forward(model: nn.Module, decoder: nn.Module, batch: Packed) -> Iterator[list[Tensor]]:
    """Let `model`, called with a batch by TRL, compute the packed batch, and return what TRL expects.

    Args:
        model: the model with TRL's fused head.
        decoder: its network without output embeddings.
        batch: the batch that the block will call the model with.

    Yields:
        A list that receives the kept states (kept, D) of each forward pass.
    """
    states: list[Tensor] = []

    def enter(_module: nn.Module, args: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**inputs, **batch.inputs, "labels": None, "shift_labels": batch.labels[None]}

    def gather(_module: nn.Module, _args: Any, output: Any) -> Any:
        flat = output.last_hidden_state.flatten(0, 1)
        states.append(flat[batch.kept_at])
        output.last_hidden_state = flat[batch.scored_at][None]
        return output

    def leave(_module: nn.Module, _args: Any, output: Any) -> Any:
        """Put what was computed at scored positions back to where TRL expects it, with zeros elsewhere."""
        for name in ("log_probs", "entropy", "mean_logits", "is_top1"):
            values = getattr(output, name)
            if values is not None:
                spread = values.new_zeros(batch.scored.shape).masked_scatter(batch.scored, values)
                setattr(output, name, spread)
        return output

    hooks = (
        model.register_forward_pre_hook(enter, with_kwargs=True),
        decoder.register_forward_hook(gather),
        model.register_forward_hook(leave),
    )
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


def _trees(prompts: Sequence[int], stops: Sequence[int]) -> list[_Tree]:
    """Return a tree for each pair of which something is used."""
    trees: list[_Tree] = []
    for chosen in range(len(stops) // 2):
        sides, start = (chosen, chosen + len(stops) // 2), prompts[chosen] - 1
        branches = [_Piece(side, start, stops[side], number) for number, side in enumerate(sides, 1) if stops[side]]
        if branches:
            trees.append([_Piece(branches[0].sequence, 0, start, 0), *branches])
    return trees


def _fill_rows(trees: Sequence[_Tree]) -> list[list[_Tree]]:
    """Put each tree, the longest first, into the first row that has room."""
    lengths = [sum(piece.length for piece in tree) for tree in trees]
    width = max([ROW, *lengths])
    rows: list[list[_Tree]] = []
    room: list[int] = []
    for index in sorted(range(len(trees)), key=lambda index: -lengths[index]):
        row = next((row for row, left in enumerate(room) if left >= lengths[index]), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(width)
        rows[row].append(trees[index])
        room[row] -= lengths[index]
    return rows


def _lay_out(ids: Tensor, rows: Sequence[Sequence[_Tree]], scored: Tensor, kept: Tensor, share: bool) -> Packed:
    width = max((sum(piece.length for tree in row for piece in tree) for row in rows), default=0)
    shape, place = (len(rows), width), torch.zeros(ids.shape, dtype=torch.long)
    source, positions, branches = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
    tree_of = torch.full(shape, PADDING)
    for row, trees in enumerate(rows):
        column = 0
        for number, tree in enumerate(trees):
            for piece in tree:
                here, own = slice(column, column + piece.length), torch.arange(piece.start, piece.stop)
                source[row, here], positions[row, here] = piece.sequence * ids.shape[1] + own, own
                tree_of[row, here], branches[row, here] = number, piece.branch
                place[piece.sequence, piece.start : piece.stop] = row * width + torch.arange(column, here.stop)
                column = here.stop
    mask = _mask(tree_of, branches).to(ids.device) if share else None
    at = place[:, :-1].to(ids.device)
    tokens = ids.flatten()[source.to(ids.device)]
    inputs = {"input_ids": tokens, "position_ids": positions.to(ids.device), "attention_mask": mask}
    return Packed(inputs, ids[:, 1:][scored], scored, at[scored], at[kept])


def _mask(tree_of: Tensor, branches: Tensor) -> Tensor:
    """Return what each token sees: earlier tokens of its prompt and of its branch, (N, 1, W, W)."""
    own_tree = tree_of[:, :, None] == tree_of[:, None, :]
    seen = (branches[:, None, :] == 0) | (branches[:, :, None] == branches[:, None, :])
    return (own_tree & seen).tril()[:, None]
