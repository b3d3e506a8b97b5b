"""Public corpora in their own layouts, as folders and as archives."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.corpora.layouts import names_recordings
from factory.corpora.opening import open_corpus
from tests.corpora.speech import put, rows, shard, tone

pytestmark = pytest.mark.usefixtures("local_ray")

VALIDATED = "client_id\tpath\tsentence\tup_votes\tlocale\n"


def write(tmp_path: Path, files: dict[str, bytes | str], as_archive: bool) -> str:
    """Write files as a folder, or as one archive with the tables after the clips, as in Common Voice."""
    if as_archive:
        return str(shard(tmp_path / "corpus.tar.gz", files))
    for name, content in files.items():
        put(tmp_path / "corpus" / name, content)
    return str(tmp_path / "corpus")


both = pytest.mark.parametrize("as_archive", [False, True], ids=["folder", "archive"])


@both
def test_common_voice(tmp_path: Path, as_archive: bool) -> None:
    files: dict[str, bytes | str] = {f"cv/fr/clips/common_voice_fr_{n}.mp3": tone() for n in (1, 2)}
    files["cv/en/clips/common_voice_en_9.mp3"] = tone()
    lines = "s1\tcommon_voice_fr_1.mp3\tOui.\t2\tfr\ns3\tcommon_voice_fr_3.mp3\tNon.\t2\tfr\n"
    files["cv/fr/validated.tsv"] = f"{VALIDATED}{lines}"
    files["cv/fr/train.tsv"] = f"{VALIDATED}s2\tcommon_voice_fr_2.mp3\tPas lu.\t2\tfr\n"
    files["cv/en/validated.tsv"] = f"{VALIDATED}s9\tcommon_voice_en_9.mp3\tYes.\t2\ten\n"
    files["cv/fr/._validated.tsv"] = b"\xb0"
    corpus = open_corpus(write(tmp_path, files, as_archive))
    found = rows(corpus)
    assert {name: (row["lang"], row["text"], row["speaker"]) for name, row in found.items()} == {
        "common_voice_fr_1": ("fr", "Oui.", "s1"),
        "common_voice_fr_3": ("fr", "Non.", "s3"),
        "common_voice_en_9": ("en", "Yes.", "s9"),
    }
    assert set(corpus.load_recordings(found)) == {"common_voice_fr_1", "common_voice_en_9"}
    if as_archive:
        reason = "missing_file: the archive has no cv/fr/clips/common_voice_fr_3.mp3"
        assert found["common_voice_fr_3"]["reason"] == reason


@both
def test_cvss_is_english_with_translations_as_its_texts(tmp_path: Path, as_archive: bool) -> None:
    files: dict[str, bytes | str] = {"train/common_voice_fr_1.mp3.wav": tone()}
    files["train.tsv"] = 'common_voice_fr_1.mp3\the said "yes\n'
    files |= {"test/common_voice_fr_2.mp3.wav": tone(), "test.tsv": "common_voice_fr_2.mp3\twhere\n"}
    found = rows(open_corpus(write(tmp_path, files, as_archive)))
    assert {name: (row["lang"], row["text"], row["split"]) for name, row in found.items()} == {
        "common_voice_fr_1": ("en", 'he said "yes', "train"),
        "common_voice_fr_2": ("en", "where", "test"),
    }


@both
def test_fleurs(tmp_path: Path, as_archive: bool) -> None:
    line = "12\t1234.wav\tBonjour à tous.\tbonjour à tous\tb o n\t16000\tMALE\n"
    files: dict[str, bytes | str] = {"fr_fr/audio/dev/1234.wav": tone(), "fr_fr/dev.tsv": line}
    uri = write(tmp_path, files, as_archive)
    corpus = open_corpus(uri)
    [(name, row)] = rows(corpus).items()
    assert (name, row["lang"], row["text"], row["split"]) == ("1234", "fr", "bonjour à tous", "dev")
    assert len(corpus.load_recordings([name])) == 1
    [row] = rows(open_corpus(f"{uri}?text=raw_transcription")).values()
    assert row["text"] == "Bonjour à tous."


def test_voxpopuli(tmp_path: Path) -> None:
    name = "20090112-0900-PLENARY-3-fr_20090112-17"
    put(tmp_path / f"fr/2009/{name}.ogg", tone(format="OGG"))
    columns = "id\traw_text\tnormalized_text\tspeaker_id\tsplit\tgender\n"
    put(tmp_path / "fr/asr_dev.tsv", f"{columns}{name}\t\toui\t7\tdev\tmale\n")
    corpus = open_corpus(str(tmp_path / "fr/asr_dev.tsv"))
    [row] = rows(corpus).values()
    assert (row["lang"], row["text"], row["speaker"], row["split"]) == ("fr", "oui", "7", "dev")
    assert len(corpus.load_recordings([row["utt_id"]])) == 1


def test_a_manifest_of_nemo_needs_a_language_and_its_segments_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "wavs/a.wav", tone())
    lines = [
        '{"audio_filepath": "wavs/a.wav", "duration": 1.0, "text": "oui"}',
        '{"audio_filepath": "wavs/a.wav", "offset": 0.5, "text": "x"}',
    ]
    put(tmp_path / "manifest.jsonl", "\n".join(lines))
    found = rows(open_corpus(f"{tmp_path}/manifest.jsonl?lang=fr"))
    assert (found["wavs/a"]["lang"], found["wavs/a"]["text"], found["wavs/a"]["status"]) == ("fr", "oui", "ok")
    assert "has the offset 0.5 s; cut recordings into one file per utterance first" in found["wavs/a#2"]["reason"]


def test_an_audio_folder_with_its_metadata(tmp_path: Path) -> None:
    put(tmp_path / "fr/a.wav", tone())
    put(tmp_path / "metadata.csv", "file_name,transcription\nfr/a.wav,oui\n")
    [row] = rows(open_corpus(f"hf://{tmp_path}?lang=fr")).values()
    assert (row["utt_id"], row["lang"], row["text"]) == ("fr/a", "fr", "oui")


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("train.tsv", b"path\ttext\n", True),
        ("train.tsv", b"common_voice_fr_1.mp3\tyes\n", True),
        ("metadata.csv", b'\xef\xbb\xbf"file_name","text"\n', True),
        ("metadata.jsonl", b'{"audio": "a.wav"}\n', True),
        ("metadata.csv", b"id,size\n", False),
        ("metadata.jsonl", b'{"size": 1}\n', False),
    ],
)
def test_a_table_is_recognised_by_its_first_line(name: str, head: bytes, expected: bool) -> None:
    assert names_recordings(name, head) is expected
