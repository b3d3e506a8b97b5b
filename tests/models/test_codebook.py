"""Frames get the nearest unit, runs are merged without loss, and a codebook works with its own encoder only."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.models.codebook import Codebook, assign, convert_fairseq_kmeans, deduplicate, expand
from factory.models.weights import WeightsError, weights_digest


@dataclass
class Encoder:
    """The identity of a speech encoder."""

    model: str = "owner/encoder"
    layer: int = 4
    fingerprint: str = "0123456789abcdef"

    def frames(self, wave: np.ndarray) -> np.ndarray:
        """Return one frame."""
        return np.zeros((1, 8), np.float32)


ENCODER = Encoder()
BOOK = Codebook(np.eye(5, 8, dtype=np.float32), ENCODER.model, ENCODER.layer, ENCODER.fingerprint)


def test_frames_get_the_nearest_centroid() -> None:
    rng = np.random.default_rng(0)
    frames, centers = (rng.standard_normal((count, 16)).astype(np.float32) for count in (200, 10))
    nearest = ((frames[:, None].astype(float) - centers[None]) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal(assign(frames, centers), nearest)
    assert assign(frames, centers).dtype == np.int32
    assert assign(np.zeros((1, 2)), np.array([[3.0, 0], [0, 2], [2, 0]])).tolist() == [1], "a tie"
    with pytest.raises(WeightsError, match=r"frames have \(16,\) dimensions, the codebook's centroids \(8,\)"):
        assign(frames, centers[:, :8])


def test_runs_are_merged() -> None:
    units, durations = deduplicate(np.array([7, 7, 0, 7, 7, 7]))
    assert (units.tolist(), durations.tolist()) == ([7, 0, 7], [2, 1, 3])


@given(st.lists(st.integers(0, 3), max_size=40))
def test_deduplicate_and_expand_are_inverse(ids: list[int]) -> None:
    units, durations = deduplicate(np.array(ids, np.int32))
    assert expand(units, durations).tolist() == ids
    assert (np.diff(units) != 0).all()
    assert (durations > 0).all() and units.dtype == durations.dtype == np.int32


def test_a_saved_codebook_is_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "book.safetensors"
    BOOK.save(path)
    loaded = Codebook.load(path, ENCODER)
    np.testing.assert_array_equal(loaded.centers, BOOK.centers)
    assert (loaded.model, loaded.layer, loaded.k, loaded.fingerprint) == ("owner/encoder", 4, 5, ENCODER.fingerprint)
    digest = weights_digest(path)
    BOOK.save(path)
    assert weights_digest(path) == digest, "equal codebooks are equal files"
    assert [file.name for file in tmp_path.iterdir()] == ["book.safetensors"]
    with pytest.raises(
        WeightsError, match=f"^{path} belongs to layer 4 of owner/encoder, not to layer 5 of owner/encoder:"
    ):
        Codebook.load(path, Encoder(layer=5))


def test_fingerprints_decide_over_names() -> None:
    replace(BOOK, model="other/name").check(ENCODER)
    with pytest.raises(WeightsError, match="layer 4 of owner/encoder with other weights, not"):
        replace(BOOK, fingerprint="0" * 16).check(ENCODER)


def test_without_a_fingerprint_names_decide() -> None:
    converted = replace(BOOK, fingerprint="")
    converted.check(ENCODER)
    with pytest.raises(WeightsError, match="the codebook belongs to layer 4 of owner/other, not"):
        replace(converted, model="owner/other").check(ENCODER)


def test_npy_needs_a_sidecar(tmp_path: Path) -> None:
    np.save(tmp_path / "book.npy", np.eye(3, 4))
    with pytest.raises(WeightsError, match="does not say which encoder"):
        Codebook.load(tmp_path / "book.npy")
    (tmp_path / "book.json").write_text(json.dumps({"model": "owner/mhubert", "layer": 11}))
    book = Codebook.load(tmp_path / "book.npy")
    assert (book.model, book.layer, book.fingerprint, book.centers.dtype) == ("owner/mhubert", 11, "", np.float32)


@pytest.mark.parametrize(
    ("centers", "sidecar", "message"),
    [
        (np.eye(3), '{"model": "m"}', "it must name `model` and `layer`"),
        (np.eye(3), '["model", "layer"]', "it must name `model` and `layer`"),
        (np.eye(3), '{"model": "m", "layer": "last"}', "has the layer 'last'; expected a whole number"),
        (np.eye(3), "{", "is not a codebook"),
        (np.ones(3), '{"model": "m", "layer": 1}', r"shape \(K, D\); got \(3,\) of float64"),
        (np.ones((3, 3), int), '{"model": "m", "layer": 1}', r"shape \(K, D\); got \(3, 3\) of int64"),
        (np.full((3, 3), np.nan), '{"model": "m", "layer": 1}', "not numbers"),
        (np.array([[{}]]), '{"model": "m", "layer": 1}', "is not a codebook"),
    ],
)
def test_other_npy_files_are_refused(centers: np.ndarray, sidecar: str, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "book.npy", centers)
    (tmp_path / "book.json").write_text(sidecar)
    with pytest.raises(WeightsError, match=message):
        Codebook.load(tmp_path / "book.npy")


def test_missing_and_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no codebook"):
        Codebook.load(tmp_path / "absent.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="is not a codebook"):
        Codebook.load(tmp_path / "damaged.safetensors")


class Trap:
    """An object whose pickle runs code when it is opened: it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_fairseq_kmeans_is_converted_only_with_its_hash(tmp_path: Path) -> None:
    from sklearn.cluster import MiniBatchKMeans

    kmeans = MiniBatchKMeans(4, random_state=0, n_init=1).fit(np.random.default_rng(0).standard_normal((50, 8)))
    joblib.dump(kmeans, tmp_path / "km.bin")
    digest = weights_digest(tmp_path / "km.bin")
    book = convert_fairseq_kmeans(tmp_path / "km.bin", digest.upper(), "owner/mhubert", 11)
    np.testing.assert_allclose(book.centers, kmeans.cluster_centers_, rtol=1e-6)
    assert (book.model, book.layer) == ("owner/mhubert", 11)
    joblib.dump(Trap(tmp_path / "sprung"), tmp_path / "trap.bin")
    with pytest.raises(WeightsError, match="it was not opened"):
        convert_fairseq_kmeans(tmp_path / "trap.bin", digest, "owner/mhubert", 11)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(WeightsError, match="cannot be read"):
        convert_fairseq_kmeans(tmp_path / "absent.bin", digest, "owner/mhubert", 11)
