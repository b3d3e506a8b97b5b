"""The config.json of a unit vocoder: the keys that shape its network, and their checks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from schemas.audio import SAMPLE_RATE
from schemas.errors import RoundtripError


class VocoderError(RoundtripError):
    """A vocoder that cannot be used; the message names the file, what is wrong with it and what to do."""


@dataclass(frozen=True)
class VocoderConfig:
    """The keys of a vocoder's config.json that shape the network, with fairseq's names.

    Attributes:
        num_embeddings: Units of the codebook.
        embedding_dim: Dimensions of a unit's embedding.
        upsample_rates: The factor of each level of upsampling.
        upsample_kernel_sizes: The kernel of each level of upsampling.
        upsample_initial_channel: Channels before the first level; each level halves them.
        resblock_kernel_sizes: The kernels of the residual blocks, of all levels or per level.
        resblock_dilation_sizes: The dilations of each residual block.
        code_hop_size: Samples per unit frame.
        sampling_rate: Samples per second.
        dur_predictor_params: Arguments of DurationPredictor; empty: units are not deduplicated, and last one frame.
        pitch_predictor_params: Arguments of PitchPredictor; empty: the network outputs samples.
        filter_n_fft: Samples of the STFT that filters the source; 0: the network outputs samples.
        filter_hop: Samples per filter.
        carry_durations: Round durations so that their sum stays.
    """

    num_embeddings: int
    embedding_dim: int = 128
    upsample_rates: Sequence[int] = (5, 4, 4, 2, 2)
    upsample_kernel_sizes: Sequence[int] = (11, 8, 8, 4, 4)
    upsample_initial_channel: int = 512
    resblock_kernel_sizes: Sequence[Any] = (3, 7, 11)
    resblock_dilation_sizes: Sequence[Sequence[int]] = ((1, 3, 5),) * 3
    code_hop_size: int = 320
    sampling_rate: int = SAMPLE_RATE
    dur_predictor_params: Mapping[str, Any] = field(default_factory=dict)
    pitch_predictor_params: Mapping[str, Any] = field(default_factory=dict)
    filter_n_fft: int = 0
    filter_hop: int = 1
    carry_durations: bool = False

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> VocoderConfig:
        """Read the content of a config.json.

        Raises:
            VocoderError: This class cannot build the network.
        """
        unsupported = [key for key in ("multispkr", "f0", "embedder_params") if config.get(key)]
        if unsupported or str(config.get("resblock", "1")) != "1":
            raise VocoderError(
                f"the vocoder's config has {', '.join(unsupported) or 'ResBlock2'}, which is not supported: "
                "expected one voice and ResBlock1"
            )
        if "num_embeddings" not in config:
            raise VocoderError("the vocoder's config has no `num_embeddings` (the number of units)")
        known = {key.name: config[key.name] for key in fields(cls) if config.get(key.name) is not None}
        vocoder = cls(**known)
        hop = math.prod(vocoder.upsample_rates) * vocoder.filter_hop
        if hop != vocoder.code_hop_size:
            raise VocoderError(
                f"upsample_rates and filter_hop make {hop} samples per frame, but code_hop_size is "
                f"{vocoder.code_hop_size}: change one of them in the vocoder's config"
            )
        if bool(vocoder.filter_n_fft) != bool(vocoder.pitch_predictor_params):
            raise VocoderError(
                "the vocoder's config has one of filter_n_fft and pitch_predictor_params: it needs both or neither, "
                "because the filters shape a source at the predicted pitch"
            )
        return vocoder

    def level_kernels(self, level: int) -> Sequence[int]:
        """Return the kernel sizes of the residual blocks of a level."""
        first = self.resblock_kernel_sizes[0]
        return self.resblock_kernel_sizes if isinstance(first, int) else self.resblock_kernel_sizes[level]
