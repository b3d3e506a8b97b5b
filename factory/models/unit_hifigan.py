"""Unit HiFi-GAN: speech from units. One class reads fairseq's CodeHiFiGAN checkpoints and our own small ones.

Kong et al., HiFi-GAN (arXiv 2010.05646); Polyak et al., speech resynthesis from units (arXiv 2104.00355); Lee et al., textless S2ST
(arXiv 2112.08352) for the duration predictor. Three options of the config are not fairseq's. With `pitch_predictor_params` and
`filter_n_fft`/`filter_hop` the network makes no samples: it shapes by filters a harmonic-plus-noise source (Wang et al., NSF, arXiv
1904.12088) at a pitch that is predicted from units (our small voices: natural the soonest, and the fastest). `carry_durations` rounds
durations so that an utterance keeps its predicted length (many units last a frame or two: rounded one by one they come out too short).

Weight normalisation is folded into the weights when a checkpoint is read: the network has plain convolutions only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from factory.models.hifigan_layers import (
    SLOPE,
    Conv,
    DurationPredictor,
    PitchPredictor,
    ResBlock,
    SourceFilter,
    Upsample,
    harmonic_source,
)
from schemas.errors import RoundtripError

CONFIG, WEIGHTS = "config.json", "model.safetensors"


class VocoderError(RoundtripError):
    """A vocoder checkpoint that cannot be used; the sentence says which file and what is wrong with it."""


@dataclass(frozen=True)
class VocoderConfig:
    """The keys of a vocoder's config.json that shape the network (names as in fairseq; kernels and dilations may differ by level)."""

    num_embeddings: int
    embedding_dim: int = 128
    upsample_rates: Sequence[int] = (5, 4, 4, 2, 2)
    upsample_kernel_sizes: Sequence[int] = (11, 8, 8, 4, 4)
    upsample_initial_channel: int = 512
    resblock_kernel_sizes: Sequence[Any] = (3, 7, 11)
    resblock_dilation_sizes: Sequence[Sequence[int]] = ((1, 3, 5),) * 3
    code_hop_size: int = 320
    sampling_rate: int = 16_000
    dur_predictor_params: dict[str, Any] = field(default_factory=dict)
    pitch_predictor_params: dict[str, Any] = field(default_factory=dict)
    filter_n_fft: int = 0
    filter_hop: int = 1
    carry_durations: bool = False

    @classmethod
    def of(cls, config: dict[str, Any]) -> VocoderConfig:
        """Read a config.json's dict; raises VocoderError for a network that this class does not build."""
        unsupported = [key for key in ("multispkr", "f0", "embedder_params") if config.get(key)]
        if unsupported or str(config.get("resblock", "1")) != "1":
            raise VocoderError(
                f"this vocoder needs {', '.join(unsupported) or 'ResBlock2'}, which is not supported: one voice, ResBlock1"
            )
        if "num_embeddings" not in config:
            raise VocoderError("the vocoder's config has no `num_embeddings` (the number of units)")
        made = cls(**{key.name: config[key.name] for key in fields(cls) if config.get(key.name) is not None})
        hop = math.prod(made.upsample_rates) * made.filter_hop
        if hop != made.code_hop_size:
            raise VocoderError(
                f"upsample_rates and the last hop make {hop} samples a frame, but code_hop_size is {made.code_hop_size}"
            )
        if bool(made.filter_n_fft) != bool(made.pitch_predictor_params):
            raise VocoderError(
                "filter_n_fft filters a source at the pitch of pitch_predictor_params: the config needs both or neither"
            )
        return made

    def level_kernels(self, level: int) -> Sequence[int]:
        """Return the kernel sizes of the residual blocks of one level."""
        first = self.resblock_kernel_sizes[0]
        return self.resblock_kernel_sizes if isinstance(first, int) else self.resblock_kernel_sizes[level]


class CodeHiFiGAN(nn.Module):
    """Units to a wave; state keys as in fairseq (`dict`, `dur_predictor`, `conv_pre`, `ups`, `resblocks`, `conv_post`)."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.raw_config = config
        self.config = c = VocoderConfig.of(config)
        self.dict = nn.Embedding(c.num_embeddings, c.embedding_dim)
        self.dur_predictor = DurationPredictor(**c.dur_predictor_params)
        self.pitch_predictor = (
            PitchPredictor(c.num_embeddings, **c.pitch_predictor_params) if c.pitch_predictor_params else None
        )
        channels = [c.upsample_initial_channel // 2**level for level in range(len(c.upsample_rates) + 1)]
        self.conv_pre = Conv(c.embedding_dim, channels[0], 7)
        shapes = zip(channels, channels[1:], c.upsample_kernel_sizes, c.upsample_rates, strict=False)
        self.ups = nn.ModuleList(Upsample(*shape) for shape in shapes)
        self.resblocks = nn.ModuleList(
            ResBlock(channels[level + 1], kernel, dilations)
            for level in range(len(self.ups))
            for kernel, dilations in zip(c.level_kernels(level), c.resblock_dilation_sizes, strict=False)
        )
        self.conv_post = Conv(channels[-1], c.filter_n_fft + 2 if c.filter_n_fft else 1, 7)
        self.filter = SourceFilter(c.filter_n_fft, c.filter_hop) if c.filter_n_fft else None
        if self.filter is not None:
            nn.init.constant_(self.conv_post.bias, -6.0)  # type: ignore[arg-type]  # start quietly: these are log magnitudes

    def forward(self, frames: Tensor, source: Tensor | None = None) -> Tensor:
        """[B, T] frame units and, with a pitch predictor, the source [B, 2, T * hop] -> waves [B, T * hop]."""
        x = self.dict(frames).transpose(1, 2).unsqueeze(2).to(memory_format=torch.channels_last)
        x = self.conv_pre(x)
        first = 0
        for level, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            blocks = self.resblocks[first : first + len(self.config.level_kernels(level))]
            first += len(blocks)
            x = sum(block(x) for block in blocks) / len(blocks)
        x = self.conv_post(F.leaky_relu(x, 0.01)).squeeze(2)
        return self.filter(x, source) if self.filter is not None else torch.tanh(x).squeeze(1)

    def predict_durations(self, units: Tensor) -> Tensor:
        """[N] units -> [N] frames, at least one each: exp(x) - 1, rounded unit by unit, or with carry so that the sum stays."""
        frames = torch.exp(self.dur_predictor(self.dict(units)[None])[0]) - 1
        return _carried(frames) if self.config.carry_durations else torch.clamp(torch.round(frames), min=1).long()

    def predict_source(self, frames: Tensor) -> Tensor | None:
        """[B, T] frame units -> the source at the predicted pitch, or None for a network without one."""
        if self.pitch_predictor is None:
            return None
        log_f0, voicing = self.pitch_predictor(frames).float().unbind(2)
        return harmonic_source(log_f0, voicing > 0, self.config.code_hop_size, self.config.sampling_rate)

    @torch.inference_mode()
    def synthesize(
        self, units: Sequence[Sequence[int]], durations: Sequence[Sequence[int]] | None = None
    ) -> list[np.ndarray]:
        """Speak every list of deduplicated units; return float32 waves at `sampling_rate`, `code_hop_size` samples a frame.

        `durations` are frames a unit; without them they are predicted. Utterances go through one by one: padding would leak through the
        biases, equal lengths are rare, and a batch is no faster on a CPU thread. So a wave never depends on its batch mates. No units
        give an empty wave. Raises ValueError for a unit outside the codebook or durations of another length.
        """
        return [
            self._say(self._expand(line, None if durations is None else durations[i])) for i, line in enumerate(units)
        ]

    def _say(self, frames: Tensor) -> np.ndarray:
        if not len(frames):
            return np.zeros(0, np.float32)
        return self(frames[None], self.predict_source(frames[None]))[0].float().cpu().numpy()

    def _expand(self, units: Sequence[int], durations: Sequence[int] | None) -> Tensor:
        ids = torch.as_tensor(list(units), dtype=torch.long)
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < self.config.num_embeddings:
            raise ValueError(
                f"a unit of {list(units)[:10]}... is outside 0..{self.config.num_embeddings - 1}, this vocoder's codebook"
            )
        if durations is not None and len(durations) != len(ids):
            raise ValueError(f"{len(ids)} units, but {len(durations)} durations")
        ids = ids.to(self.dict.weight.device)
        if not len(ids):
            return ids
        counts = self.predict_durations(ids) if durations is None else torch.as_tensor(list(durations)).to(ids.device)
        return torch.repeat_interleave(ids, counts)

    @classmethod
    def from_pretrained(cls, path: str | Path, device: torch.device | str = "cpu") -> CodeHiFiGAN:
        """Load a folder with config.json and model.safetensors (ours) or a fairseq checkpoint (`*.pt`, `g_*`), or that checkpoint's path
        (its config.json beside it). Raises VocoderError, with the file and what is missing, when it cannot be used."""
        folder, weights = _files(Path(path))
        model = cls(json.loads((folder / CONFIG).read_text()))
        state = fold_weight_norm(_read_state(weights))
        missing = sorted(set(model.state_dict()) - set(state))
        unknown = sorted(set(state) - set(model.state_dict()))
        if missing or unknown:
            told = f"missing {missing[:5] or 'nothing'}, unknown {unknown[:5] or 'nothing'}"
            raise VocoderError(f"{weights} does not fit {folder / CONFIG}: {told}")
        try:
            model.load_state_dict({key: value.float() for key, value in state.items()})
        except RuntimeError as error:
            raise VocoderError(f"{weights} does not fit {folder / CONFIG}: {error}") from error
        return model.eval().to(device)

    def save_pretrained(self, path: str | Path) -> None:
        """Write config.json and model.safetensors (half precision) to the folder `path`."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(json.dumps(self.raw_config, indent=2) + "\n")
        save_file(
            {key: value.detach().half().contiguous().cpu() for key, value in self.state_dict().items()},
            folder / WEIGHTS,
        )


def _carried(frames: Tensor) -> Tensor:
    """Round [N] lengths to whole frames, at least one each; what rounding took from a unit, the next ones get."""
    whole, owed = [], 0.0
    for length in frames.tolist():
        owed += length
        whole.append(max(1, round(owed)))
        owed -= whole[-1]
    return torch.tensor(whole, device=frames.device)


def _files(path: Path) -> tuple[Path, Path]:
    """Return the folder with config.json, and the weights' file."""
    folder = path if path.is_dir() else path.parent
    found = [path] if path.is_file() else sorted([*folder.glob(WEIGHTS), *folder.glob("*.pt"), *folder.glob("g_*")])
    if not found or not (folder / CONFIG).is_file():
        raise VocoderError(
            f"{path} is no vocoder: expected {CONFIG} beside {WEIGHTS}, a fairseq *.pt or a g_* checkpoint"
        )
    return folder, next((file for file in found if file.name == WEIGHTS), found[0])


def _read_state(weights: Path) -> dict[str, Tensor]:
    """Read a state dict; fairseq keeps it under "generator"."""
    try:
        if weights.suffix == ".safetensors":
            return load_file(weights)
        loaded = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and safetensors errors alike: the file is truncated or no checkpoint
        raise VocoderError(
            f"{weights} cannot be read ({type(error).__name__}: {error}); it may be truncated: fetch it again"
        ) from error
    if not isinstance(loaded.get("generator", loaded), dict):
        raise VocoderError(f'{weights} holds no state dict under "generator"')
    return loaded.get("generator", loaded)


def fold_weight_norm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Replace every `weight_g`, `weight_v` by the weight that they stand for: g v / |v|, the norm over all but the first dimension."""
    folded = {key: value for key, value in state.items() if not key.endswith(("weight_g", "weight_v"))}
    for key in (key for key in state if key.endswith("weight_v")):
        v, g = state[key].float(), state.get(key[:-1] + "g")
        if g is None:
            raise VocoderError(f"the checkpoint has {key} but no {key[:-1]}g")
        folded[key[:-2]] = v * (g.float() / v.flatten(1).norm(dim=1).view(-1, *[1] * (v.dim() - 1)))
    return folded
