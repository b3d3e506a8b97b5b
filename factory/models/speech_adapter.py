"""The adapter of a speech language model: frames of a speech encoder become embeddings of a language model.

Two transformer layers and one convolution with a stride (PART, arXiv 2509.19745). The paper leaves open: the stride
(here 4, 12.5 embeddings per second), the heads (64 dimensions each), and the scale of the output (here the language
model's own: the last norm begins with the standard deviation of its token embeddings).
"""

from __future__ import annotations

from torch import Tensor, nn

from factory.models.speech_config import AdapterConfig

HEAD = 64
"""Dimensions of an attention head."""


class SpeechAdapter(nn.Module):
    """Frames (B, T, width) to embeddings (B, ceil(T / stride), out)."""

    def __init__(self, config: AdapterConfig, scale: float = 1.0) -> None:
        """Build an adapter with random weights.

        Args:
            config: its shape.
            scale: standard deviation of an embedding.
        """
        super().__init__()
        self.config = config
        width, out, stride = config["width"], config["out"], config["stride"]
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                max(1, width // HEAD),
                4 * width,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config["layers"])
        )
        self.shrink = nn.Conv1d(width, out, kernel_size=stride, stride=stride)
        self.norm = nn.LayerNorm(out)
        nn.init.constant_(self.norm.weight, scale)

    def forward(self, frames: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Compute embeddings.

        Args:
            frames: (B, T, width).
            mask: (B, T), True in an utterance and False behind its end; None: nothing is padded.

        Returns:
            Embeddings (B, T', out) and their mask (B, T'); an utterance with T frames has ceil(T / stride).
        """
        x, padding = frames, None if mask is None else ~mask
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
        if mask is not None:
            x = x * mask[:, :, None]  # what is behind an utterance is the same in each batch: nothing
        stride = self.config["stride"]
        missing = -x.shape[1] % stride
        x = nn.functional.pad(x, (0, 0, 0, missing))
        embeddings: Tensor = self.norm(self.shrink(x.transpose(1, 2)).transpose(1, 2))
        if mask is None:
            return embeddings, None
        return embeddings, nn.functional.pad(mask, (0, missing)).view(len(x), -1, stride).any(2)


def shapes_fit(weights: dict[str, Tensor], adapter: SpeechAdapter) -> bool:
    """Return True if weights have the names and shapes of an adapter."""
    expected = {name: weight.shape for name, weight in adapter.state_dict().items()}
    return {name: weight.shape for name, weight in weights.items()} == expected


def embedding_scale(table: Tensor) -> float:
    """Return the standard deviation of the token embeddings (V, D) of a language model."""
    return float(table.detach().float().std())
