"""Let the sequences of a vLLM on a CPU share all of their prefix, not its whole blocks only.

vLLM keeps keys and values in blocks, and sequences with the same prefix share whole blocks. On a CPU a block has 32
tokens or more, so of a prompt of 70 tokens every candidate would compute the last 6 again, and a text that is continued
with its units would compute up to 31. This connector plugs into vLLM's interface for KV transfer. It copies the last
block, which is only partly filled, from a sequence that has computed it: a copy of a whole block is right whatever the
layout inside the block is, and the slots behind the prefix are written before they are read.

- The first sequence of a prompt (the leader) is computed; others with the same prompt wait one step for its block.
- A sequence that was submitted with `KEEP` leaves its last block behind, for the sequence that continues it.
- The last token of a prompt is computed for every sequence, because its logits are needed.

Copied blocks are held in vLLM's own memory. When this runs short, they are given back, and prompts are computed again.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from vllm.distributed.kv_transfer.kv_connector.v1 import base
from vllm.v1.kv_cache_interface import FullAttentionSpec

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.forward_context import ForwardContext
    from vllm.v1.attention.backend import AttentionMetadata
    from vllm.v1.core.block_pool import BlockPool
    from vllm.v1.core.kv_cache_manager import KVCacheBlocks
    from vllm.v1.core.kv_cache_utils import KVCacheBlock
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.kv_cache_interface import KVCacheConfig
    from vllm.v1.request import Request

KEEP = {"kv_transfer_params": {"keep": True}}
"""`extra_args` of the parameters of a sequence that another sequence will continue."""
_FREE = 8  # blocks are held while more than one of `_FREE` blocks of the memory is free
_Prefix = tuple[int, ...]

logging.getLogger(base.__name__).setLevel(logging.ERROR)  # it warns at each start that the interface may change


def _read_prefix(request: Request) -> _Prefix:
    """Return the prefix of a request; of two prompts with the same tokens and other speech, the digests differ."""
    ids = list(request.all_token_ids[:-1])
    for recording in request.mm_features:
        start, count = recording.mm_position.offset, recording.mm_position.length
        ids[start : start + count] = [_mark(recording.identifier.encode())] * count
    if request.prompt_embeds is None:
        return tuple(ids)
    mark = _mark(request.prompt_embeds.contiguous().view(torch.uint8).numpy().tobytes())
    kinds = request.prompt_is_token_ids or [False] * len(request.prompt_embeds)
    prompt = [token if is_token else mark for token, is_token in zip(ids, kinds, strict=False)]
    return (*prompt, *ids[len(prompt) :])


def _mark(content: bytes) -> int:
    """Return what stands for speech in a prefix: a number that no token has."""
    return -1 - int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())


@dataclass
class BlockCopies(base.KVConnectorMetadata):
    """What the scheduler asks of the worker in one step: copy block `sources[i]` to block `targets[i]`."""

    sources: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)


class PromptSharing(base.KVConnectorBase_V1, base.SupportsHMA):
    """The connector. vLLM makes two objects of it: one plans in the scheduler, one copies in the worker.

    A prefix is a prompt without its last token, as a tuple of token ids, with a digest of all embeddings at the
    place of each. Models with more than one kind of attention are left as they are.
    """

    def __init__(self, vllm_config: VllmConfig, role: base.KVConnectorRole, kv_cache_config: KVCacheConfig) -> None:
        """Make one of the two objects; vLLM calls this."""
        super().__init__(vllm_config, role, kv_cache_config)
        groups = kv_cache_config.kv_cache_groups
        self._works = len(groups) == 1 and type(groups[0].kv_cache_spec) is FullAttentionSpec
        self._block_size = groups[0].kv_cache_spec.block_size if groups else 1
        self._plan = BlockCopies()
        self._waiting: dict[str, _Prefix] = {}  # prefix of each request that was not scheduled yet
        self._num_waiting: Counter[_Prefix] = Counter()
        self._leaders: dict[_Prefix, Request] = {}  # who computes a prefix that others wait for
        self._held: dict[_Prefix, KVCacheBlock] = {}  # the last block of a prefix, if it is not full, until it is used
        self._unneeded: list[_Prefix] = []  # nobody waits for them any more
        self._caches: list[torch.Tensor] = []

    @property
    def requires_kv_delivery(self) -> bool:
        """Nothing is handed to another engine."""
        return False

    # the scheduler's object

    def bind_gpu_block_pool(self, gpu_block_pool: BlockPool) -> None:
        """Take the memory in which blocks are held."""
        self._pool = gpu_block_pool

    def on_new_request(self, request: Request) -> None:
        """Note what a request will need."""
        if self._works:
            prefix = _read_prefix(request)
            self._waiting[request.request_id] = prefix
            self._num_waiting[prefix] += 1

    def get_num_new_matched_tokens(self, request: Request, num_computed_tokens: int) -> tuple[int | None, bool]:
        """Return how many tokens a copied block adds to the computed ones; None: ask again in the next step."""
        prefix = self._waiting.get(request.request_id)
        if prefix is None:  # it was preempted, and has tokens of its own
            return 0, False
        if prefix in self._leaders:
            return None, False
        missing = len(prefix) - num_computed_tokens
        return (missing if prefix in self._held and 0 < missing < self._block_size else 0), False

    def update_state_after_alloc(self, request: Request, blocks: KVCacheBlocks, num_external_tokens: int) -> None:
        """Plan the copy into the blocks that a request has got, or make it the leader of those that wait."""
        prefix = self._forget(request)
        if prefix is None:
            return
        if num_external_tokens:
            self._plan.sources.append(self._held[prefix].block_id)
            self._plan.targets.append(self._last_block(prefix, blocks.get_block_ids()[0]))
        elif self._num_waiting[prefix]:
            self._leaders[prefix] = request

    def build_connector_meta(self, scheduler_output: SchedulerOutput) -> BlockCopies:
        """Return the copies of this step, and hold the blocks that it computes for others."""
        for prefix, leader in list(self._leaders.items()):
            computed = scheduler_output.num_scheduled_tokens.get(leader.request_id, 0)
            if computed and leader.num_computed_tokens + computed < len(prefix):
                continue  # a long prompt is computed in several steps
            del self._leaders[prefix]
            if computed and self._num_waiting[prefix]:  # else it was stopped or preempted, or the others were stopped
                manager = self._kv_cache_manager
                assert manager is not None
                self._hold(prefix, manager.get_block_ids(leader.request_id)[0])
        for prefix in self._unneeded:
            if prefix in self._held and not self._num_waiting[prefix]:
                self._give_back(prefix)
        self._unneeded.clear()
        if self._is_short_of_memory() or not scheduler_output.total_num_scheduled_tokens:
            self.reset_cache()
        plan, self._plan = self._plan, BlockCopies()
        return plan

    def request_finished_all_groups(
        self, request: Request, block_ids: tuple[list[int], ...]
    ) -> tuple[bool, dict[str, Any] | None]:
        """Hold the last block of a request that will be continued."""
        self._forget(request)
        if self._works and request.kv_transfer_params:
            prefix = _read_prefix(request)
            if request.num_computed_tokens >= len(prefix):
                self._hold(prefix, block_ids[0])
        return False, None

    def reset_cache(self) -> bool:
        """Give all blocks back."""
        for prefix in list(self._held):
            self._give_back(prefix)
        return True

    def _forget(self, request: Request) -> _Prefix | None:
        """Count a request as not waiting any more; return its prefix if it waited."""
        prefix = self._waiting.pop(request.request_id, None)
        if prefix is not None:
            self._num_waiting[prefix] -= 1
            if not self._num_waiting[prefix]:
                del self._num_waiting[prefix]
                self._unneeded.append(prefix)
        return prefix

    def _last_block(self, prefix: _Prefix, block_ids: Sequence[int]) -> int:
        return block_ids[(len(prefix) - 1) // self._block_size]

    def _hold(self, prefix: _Prefix, block_ids: Sequence[int]) -> None:
        """Keep the last block of a prefix from being used for something else; full blocks are vLLM's own affair."""
        if len(prefix) % self._block_size == 0 or prefix in self._held or self._is_short_of_memory():
            return
        block = self._pool.blocks[self._last_block(prefix, block_ids)]
        self._pool.touch([block])
        self._held[prefix] = block

    def _give_back(self, prefix: _Prefix) -> None:
        self._pool.free_blocks([self._held.pop(prefix)])

    def _is_short_of_memory(self) -> bool:
        return self._pool.get_num_free_blocks() * _FREE <= self._pool.num_gpu_blocks

    # the worker's object

    def register_kv_caches(self, kv_caches: dict[str, torch.Tensor]) -> None:
        """Take the keys and values of all layers; the first dimension counts blocks."""
        self._caches = list({cache.data_ptr(): cache for cache in kv_caches.values()}.values())

    def start_load_kv(self, forward_context: ForwardContext, **kwargs: Any) -> None:
        """Copy the blocks of this step, before it is computed."""
        plan = self._get_connector_metadata()
        assert isinstance(plan, BlockCopies)
        if plan.sources:
            sources, targets = torch.tensor(plan.sources), torch.tensor(plan.targets)
            for cache in self._caches:
                cache.index_copy_(0, targets, cache.index_select(0, sources))

    def wait_for_layer_load(self, layer_name: str) -> None:
        """Do nothing: the copies are complete."""

    def save_kv_layer(
        self, layer_name: str, kv_layer: torch.Tensor, attn_metadata: AttentionMetadata, **kwargs: Any
    ) -> None:
        """Do nothing: blocks stay where they were computed."""

    def wait_for_save(self) -> None:
        """Do nothing: nothing is saved."""
