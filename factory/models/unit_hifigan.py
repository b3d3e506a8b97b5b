"""Unit HiFi-GAN: speech from units. One class reads fairseq's CodeHiFiGAN checkpoints and our small ones.

Sources: HiFi-GAN (Kong et al., arXiv 2010.05646), speech resynthesis from units (Polyak et al., arXiv 2104.00355), and
the duration predictor of textless S2ST (Lee et al., arXiv 2112.08352).

Three options of the config are not fairseq's. With `pitch_predictor_params` and `filter_n_fft`/`filter_hop` the network
outputs no samples: it filters a harmonic-plus-noise source (NSF; Wang et al., arXiv 1904.12088) at a pitch that it
predicts from units. The small voices use it, because it trains and runs fastest. `carry_durations` rounds durations so
that an utterance keeps its predicted length: many units last one or two frames, and rounding each of them alone makes
utterances too short.

Weight normalisation is folded into the weights when a checkpoint is read: the network has plain convolutions only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
from factory.models.vocoder_config import VocoderConfig, VocoderError

CONFIG, WEIGHTS = "config.json", "model.safetensors"


class CodeHiFiGAN(nn.Module):
    """Units to waves. The modules have fairseq's names: `dict`, `dur_predictor`, `conv_pre`, `ups`, `resblocks`."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Build the network with random weights from the content of a config.json."""
        super().__init__()
        self.raw_config = config
        self.config = c = VocoderConfig.from_json(config)
        self.dict = nn.Embedding(c.num_embeddings, c.embedding_dim)
        self.dur_predictor = DurationPredictor(**c.dur_predictor_params) if c.dur_predictor_params else None
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
        if self.filter is not None and self.conv_post.bias is not None:
            nn.init.constant_(self.conv_post.bias, -6.0)  # log magnitudes: a new network is quiet

    def forward(self, frames: Tensor, source: Tensor | None = None) -> Tensor:
        """Compute waves.

        Args:
            frames: One unit per frame [B, T].
            source: The excitation [B, 2, T * hop] of a network with a pitch predictor; None for other networks.

        Returns:
            Waves [B, T * hop].
        """
        x: Tensor = self.dict(frames).transpose(1, 2).unsqueeze(2).to(memory_format=torch.channels_last)
        x = self.conv_pre(x)
        first = 0
        for level, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            blocks = self.resblocks[first : first + len(self.config.level_kernels(level))]
            first += len(blocks)
            x = sum(block(x) for block in blocks) / len(blocks)
        x = self.conv_post(F.leaky_relu(x, 0.01)).squeeze(2)
        wave: Tensor = torch.tanh(x).squeeze(1) if self.filter is None else self.filter(x, source)
        return wave

    def predict_durations(self, units: Tensor) -> Tensor:
        """Predict the duration of units [N] in frames [N]: exp(x) - 1, rounded, at least 1.

        Without a predictor units are not deduplicated, and each lasts one frame.
        """
        if self.dur_predictor is None:
            return torch.ones_like(units)
        frames = torch.exp(self.dur_predictor(self.dict(units)[None])[0]) - 1
        if self.config.carry_durations:
            return _round_and_carry(frames)
        return torch.clamp(torch.round(frames), min=1).long()

    def predict_source(self, frames: Tensor) -> Tensor | None:
        """Compute the source [B, 2, T * hop] of frame units [B, T] at the predicted pitch; None without a predictor."""
        if self.pitch_predictor is None:
            return None
        log_f0, voicing = self.pitch_predictor(frames).float().unbind(2)
        return harmonic_source(log_f0, voicing > 0, self.config.code_hop_size, self.config.sampling_rate)

    @torch.inference_mode()
    def synthesize(
        self, units: Sequence[Sequence[int]], durations: Sequence[Sequence[int]] | None = None
    ) -> list[np.ndarray]:
        """Synthesise speech, one utterance at a time.

        A wave does not depend on the other utterances of a call: padding a batch would change it through the biases,
        utterances of equal length are rare, and a batch is no faster on one thread of a CPU.

        Args:
            units: Deduplicated units per utterance.
            durations: Frames of each unit per utterance; predicted if None.

        Returns:
            A float32 wave (samples,) at `sampling_rate` per utterance, with `code_hop_size` samples per frame; an empty
            wave for an utterance without units.

        Raises:
            VocoderError: A unit is not in the vocoder's codebook.
            ValueError: An utterance has another number of durations than of units.
        """
        lengths = [None] * len(units) if durations is None else durations
        return [self._synthesize(self._expand(*utterance)) for utterance in zip(units, lengths, strict=True)]

    def _synthesize(self, frames: Tensor) -> np.ndarray:
        if not len(frames):
            return np.zeros(0, np.float32)
        wave: np.ndarray = self(frames[None], self.predict_source(frames[None]))[0].float().cpu().numpy()
        return wave

    def _expand(self, units: Sequence[int], durations: Sequence[int] | None) -> Tensor:
        """Return one unit per frame [T]."""
        ids = torch.as_tensor(list(units), dtype=torch.long)
        known = self.config.num_embeddings
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < known:
            outside = int(ids.min() if ids.min() < 0 else ids.max())
            raise VocoderError(
                f"unit {outside} is outside 0..{known - 1}, the vocoder's codebook: use the units' own vocoder"
            )
        if durations is not None and len(durations) != len(ids):
            raise ValueError(f"an utterance has {len(ids)} units, but {len(durations)} durations")
        ids = ids.to(self.dict.weight.device)
        if not len(ids):
            return ids
        counts = self.predict_durations(ids) if durations is None else torch.as_tensor(list(durations)).to(ids.device)
        return torch.repeat_interleave(ids, counts)

    @classmethod
    def from_pretrained(cls, path: str | Path, device: torch.device | str = "cpu") -> CodeHiFiGAN:
        """Load a vocoder.

        Args:
            path: A folder with config.json and model.safetensors, or with a fairseq checkpoint (`*.pt`, `g_*`), or the
                path of that checkpoint next to its config.json.
            device: The device of the network.

        Raises:
            VocoderError: A file is missing, cannot be read, or does not fit the other.
        """
        folder, weights = _find_files(Path(path))
        model = cls._from_config(folder / CONFIG)
        state = fold_weight_norm(_read_state(weights))
        missing = sorted(set(model.state_dict()) - set(state))
        unknown = sorted(set(state) - set(model.state_dict()))
        if missing or unknown:
            keys = f"missing {missing[:5] or 'nothing'}, unknown {unknown[:5] or 'nothing'}"
            raise VocoderError(f"{weights} does not fit {folder / CONFIG}: {keys}; use the two files of one vocoder")
        try:
            model.load_state_dict({key: value.float() for key, value in state.items()})
        except RuntimeError as error:
            raise VocoderError(f"{weights} does not fit {folder / CONFIG}: {error}") from error
        return model.eval().to(device)

    @classmethod
    def _from_config(cls, path: Path) -> CodeHiFiGAN:
        try:
            return cls(json.loads(path.read_text("utf-8")))
        except VocoderError as error:
            raise VocoderError(f"{path}: {error}") from error
        except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
            raise VocoderError(
                f"{path} describes no unit vocoder ({type(error).__name__}: {error}): fetch or write it again"
            ) from error

    def save_pretrained(self, path: str | Path) -> None:
        """Write config.json and model.safetensors (half precision) into the folder `path`."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(json.dumps(self.raw_config, indent=2) + "\n")
        state = {key: value.detach().half().contiguous().cpu() for key, value in self.state_dict().items()}
        save_file(state, folder / WEIGHTS)


def _round_and_carry(frames: Tensor) -> Tensor:
    """Round durations [N] to whole frames, at least 1, and carry each rounding error over to the next unit."""
    whole, carried = [], 0.0
    for duration in frames.tolist():
        carried += duration
        whole.append(max(1, round(carried)))
        carried -= whole[-1]
    return torch.tensor(whole, device=frames.device)


def _find_files(path: Path) -> tuple[Path, Path]:
    """Return the folder of config.json, and the file of the weights."""
    folder = path if path.is_dir() else path.parent
    weights = [path] if path.is_file() else sorted([*folder.glob(WEIGHTS), *folder.glob("*.pt"), *folder.glob("g_*")])
    if not weights or not (folder / CONFIG).is_file():
        raise VocoderError(
            f"{path} is not a vocoder: expected {CONFIG} next to {WEIGHTS}, a fairseq *.pt or a g_* checkpoint"
        )
    return folder, next((file for file in weights if file.name == WEIGHTS), weights[0])


def _read_state(weights: Path) -> dict[str, Tensor]:
    """Read the state of a network; fairseq stores it under "generator"."""
    try:
        if weights.suffix == ".safetensors":
            return load_file(weights)
        loaded = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # errors of zip, pickle and safetensors have no common class
        raise VocoderError(
            f"{weights} cannot be read ({type(error).__name__}: {error}); it may be truncated: fetch it again"
        ) from error
    state = loaded.get("generator", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict):
        raise VocoderError(f'{weights} holds no state of a network, at its top or under "generator": fetch it again')
    return state


def fold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace every `weight_g` and `weight_v` by their weight, g v / |v| (Salimans and Kingma, 2016, equation 2).

    The norm is over all dimensions of v but the first.

    Raises:
        VocoderError: A `weight_v` has no `weight_g`.
    """
    folded = {key: value for key, value in state.items() if not key.endswith(("weight_g", "weight_v"))}
    for key in (key for key in state if key.endswith("weight_v")):
        v, g = state[key].float(), state.get(key[:-1] + "g")
        if g is None:
            raise VocoderError(f"the checkpoint has {key} but no {key[:-1]}g: fetch it again")
        folded[key[:-2]] = v * (g.float() / v.flatten(1).norm(dim=1).view(-1, *[1] * (v.dim() - 1)))
    return folded
