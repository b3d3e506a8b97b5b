"""A corpus is recognised by what it is, and read the same way whoever reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.corpora.base import CorpusError, Kind, MissingCorpus
from factory.corpora.columns import Options
from factory.corpora.corpus import FolderCorpus, ParquetCorpus, TableCorpus, TarCorpus
from factory.corpora.files import summarise_left_out
from factory.corpora.marking import mark
from factory.corpora.opening import open_corpus, split_options
from factory.storage.dataset import DatasetDir
from factory.storage.manifest import FingerprintMismatch, StoreError
from schemas.datasets import PAIRED, UNITS, UTTERANCE
from tests.corpora.speech import put, rows, shard, tone

pytestmark = pytest.mark.usefixtures("local_ray")

HEADER = "utt_id\tlang\tpath\ttext\n"


def left_out(uri: str) -> str:
    corpus = open_corpus(uri)
    counted = mark(corpus.shards).left_out
    return summarise_left_out(corpus.left_out + counted)


def test_a_folder_names_languages_and_transcripts_and_counts_what_it_leaves_out(tmp_path: Path) -> None:
    for name in (
        "fr/a.wav",
        "fr_FR/b.aiff",
        "en/deep/c.d.flac",
        "fr/e.opus",
        "fr/._a.wav",
        "__MACOSX/fr/._b.wav",
        ".cache/f.wav",
    ):
        put(tmp_path / name, tone())
    put(tmp_path / "fr/a.TXT", "\ufeffil pleut\n")
    for name in ("fr/lone.txt", "fr/x.xyz", "README", "notes.md"):
        put(tmp_path / name, "x")
    os.symlink("nowhere.wav", tmp_path / "fr/link.wav")
    corpus = open_corpus(str(tmp_path))
    found = rows(corpus)
    assert isinstance(corpus, FolderCorpus) and corpus.size == len(found) == 4
    assert {name: row["lang"] for name, row in found.items()} == {
        "fr/a": "fr",
        "fr_FR/b": "fr",
        "en/deep/c.d": "en",
        "fr/e": "fr",
    }
    assert (found["fr/a"]["text"], found["fr/e"]["text"]) == ("il pleut", None)
    told = ".md files 1, .xyz files 1, broken link 1, files without a suffix 1, in __MACOSX 1, transcript without a recording 1"
    assert left_out(str(tmp_path)) == f"hidden 2, {told}"


def test_a_name_that_is_no_utf_8_is_counted(tmp_path: Path) -> None:
    put(tmp_path / "fr/a.wav", tone())
    Path(os.fsdecode(os.fsencode(str(tmp_path)) + b"/fr/caf\xe9.wav")).write_bytes(tone())
    assert list(rows(open_corpus(str(tmp_path)))) == ["fr/a"]
    assert left_out(str(tmp_path)) == "name that is no UTF-8 1"


def test_linked_folders_are_entered_and_loops_are_not(tmp_path: Path) -> None:
    put(tmp_path / "there/a.wav", tone())
    (tmp_path / "corpus").mkdir()
    os.symlink(tmp_path / "there", tmp_path / "corpus/fr")
    os.symlink(tmp_path / "corpus", tmp_path / "there/again")
    assert list(rows(open_corpus(str(tmp_path / "corpus")))) == ["fr/a"]


def test_a_transcript_that_is_no_utf_8_fails_its_row_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(tmp_path / f"fr/{name}.wav", tone())
    put(tmp_path / "fr/a.txt", "déjà".encode("latin-1"))
    found = rows(open_corpus(str(tmp_path)))
    assert (found["fr/a"]["status"], found["fr/b"]["status"]) == ("failed", "ok")
    assert found["fr/a"]["reason"].startswith("not_utf8: fr/a.txt is no text in UTF-8")


@pytest.mark.parametrize("name", ["all.tsv", "all.csv", "all.jsonl", "ALL.TSV"])
def test_a_table_names_paths_from_its_own_folder_and_anywhere_by_uris(tmp_path: Path, name: str) -> None:
    sound = put(tmp_path / "wavs/a.wav", tone())
    cells = [
        ("a", "fr ", "wavs/a.wav", "oui"),
        ("b", "EN", str(sound), "yes"),
        ("c", "fr", f"file://{sound}", "non"),
        ("d", "fr", "no.wav", "x"),
    ]
    if name.endswith("jsonl"):
        lines = [
            f'{{"utt_id": "{i}", "lang": "{lang}", "audio_filepath": "{path}", "text": "{text}"}}'
            for i, lang, path, text in cells
        ]
    else:
        sign = "\t" if name.lower().endswith("tsv") else ","
        lines = [sign.join(line) for line in (("utt_id", "lang", "path", "text"), *cells)]
    put(tmp_path / name, "\n".join(lines))
    corpus = open_corpus(str(tmp_path / name))
    found = rows(corpus)
    assert isinstance(corpus, TableCorpus) and corpus.size == 4
    assert [(row["lang"], row["text"], row["status"]) for row in found.values()] == [
        ("fr", "oui", "ok"),
        ("en", "yes", "ok"),
        ("fr", "non", "ok"),
        ("fr", "x", "ok"),
    ]
    assert set(corpus.recordings(["a", "b", "c", "d"])) == {"a", "b", "c"}


def test_broken_lines_are_failed_rows_that_name_their_line(tmp_path: Path) -> None:
    put(tmp_path / "a.wav", tone())
    put(tmp_path / "all.tsv", f"{HEADER}a\tfr\ta.wav\toui\nb\tfr\ta.wav\toui\tnon\nc\tfr\tclips\\a.wav\toui\n")
    found = rows(open_corpus(str(tmp_path / "all.tsv")))
    assert found["a"]["status"] == "ok" and found["b"]["status"] == found["c"]["status"] == "failed"
    assert found["b"]["reason"].startswith("broken_line: line 3 of ") and found["b"]["reason"].endswith(
        "5 cells, and its header names 4"
    )
    assert "line 4 of " in found["c"]["reason"] and found["c"]["reason"].endswith("write paths with /")


def test_parquet_names_its_rows_in_its_footer_and_units_are_no_speech(tmp_path: Path) -> None:
    told = [{"utt_id": name, "lang": "fr", "audio": {"bytes": tone()}} for name in "ab"]
    pq.write_table(pa.Table.from_pylist(told, schema=UTTERANCE), tmp_path / "1.parquet")
    pq.write_table(pa.Table.from_pylist(told[:1], schema=UTTERANCE), tmp_path / "2.parquet")
    corpus = open_corpus(str(tmp_path))
    assert isinstance(corpus, ParquetCorpus) and corpus.size == 3 and not corpus.holds_units
    assert {name: row["status"] for name, row in rows(corpus).items()} == {"a": "ok", "b": "ok", "a#2": "failed"}
    assert list(corpus.recordings(["b", "none"])) == ["b"]
    pair = {"pair_id": "p", "src_lang": "fr", "tgt_lang": "en", "src_units": [1]}
    pq.write_table(pa.Table.from_pylist([pair], schema=PAIRED), tmp_path / "units.parquet")
    units = open_corpus(str(tmp_path / "units.parquet"))
    assert units.holds_units and units.recordings(["p"]) == {}


def test_tar_shards_and_a_single_tar(tmp_path: Path) -> None:
    shard(tmp_path / "all/fr/0.tar", {"a.wav": tone(), "a.txt": "oui"})
    shard(tmp_path / "all/en/0.tgz", {"b.flac": tone(format="FLAC")})
    corpus = open_corpus(str(tmp_path / "all"))
    assert isinstance(corpus, TarCorpus) and corpus.size is None
    assert {name: row["lang"] for name, row in rows(corpus).items()} == {"a": "fr", "b": "en"}
    assert len(corpus.recordings(["b"])["b"]) == 16_000
    assert rows(open_corpus(f"{tmp_path}/all/fr/0.tar?lang=de"))["a"]["lang"] == "de"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "a.zip",
            "PK",
            r"a.zip: a .zip file is not read; expected Parquet, tar shards, a table \(.tsv, .csv, .jsonl\) or audio files",
        ),
        ("a.wav", "RIFF", "a.wav is one recording"),
        ("a.parquet", "PAR1", "a.parquet is no complete Parquet file"),
        ("empty/x.pdf", "x", r"empty holds neither Parquet nor tar shards nor audio files \(it has .pdf\)"),
        ("listed/all.tsv", HEADER, r"neither Parquet .* it has the table .*listed/all.tsv: name that"),
        (
            "none.tsv",
            "id\tfile_size\n",
            "none.tsv has no column of paths: expected one of path, audio_filepath, file_name, file",
        ),
        ("rows.tsv", HEADER, "rows.tsv holds no rows"),
        (
            "lost.tsv",
            f"{HEADER}a\tfr\tno.wav\tx\n",
            "no recording that .*lost.tsv names is there; the first is .*/no.wav",
        ),
        ("windows.tsv", f"{HEADER}a\tfr\tclips\\a.wav\tx\n", r"the first is .*/clips.a.wav: write paths with /"),
        (
            "text.tsv?text=words",
            f"{HEADER}a\tfr\tno.wav\tx\n",
            "has no column words, which text=words names; it has utt_id, lang, path, text",
        ),
        ("opt.tsv?language=fr", HEADER, "unknown option language=fr; options are config, split, lang, text"),
        ("split.tsv?split=train", HEADER, "config and split are options of hf:// alone"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    put(tmp_path / name.partition("?")[0], content)
    place = f"{tmp_path}/{name.partition('/')[0] if '/' in name else name}"
    with pytest.raises(CorpusError, match=sentence):
        open_corpus(place).speech()


def test_what_is_not_there_is_another_error(tmp_path: Path) -> None:
    for place in (f"{tmp_path}/none", f"hf://{tmp_path}/none"):
        with pytest.raises(MissingCorpus, match="none does not exist"):
            open_corpus(place)


def test_options_stand_behind_a_question_mark_unless_it_is_in_the_name(tmp_path: Path) -> None:
    assert split_options("a.tsv?lang=fr&text=words") == ("a.tsv", Options(lang="fr", text="words"))
    odd = put(tmp_path / "what?lang=fr.tsv", HEADER)
    assert split_options(str(odd)) == (str(odd), Options())
    store = "s3://bucket/a?endpoint_override=localhost:9000&lang=fr"
    assert split_options(store) == ("s3://bucket/a?endpoint_override=localhost:9000", Options(lang="fr"))


def test_a_changed_corpus_under_the_same_names_is_another(tmp_path: Path) -> None:
    """Texts, recordings, and rows of Parquet: whatever changes, the digest does; what does not change it, does not."""
    put(tmp_path / "folder/fr/a.wav", tone())
    put(tmp_path / "folder/fr/a.txt", "texte un")
    put(tmp_path / "table/all.tsv", f"{HEADER}a\tfr\ta.wav\toui\n")
    put(tmp_path / "table/a.wav", tone())
    shard(tmp_path / "tars/0.tar", {"fr/a.wav": tone()})

    def digests() -> list[str]:
        return [open_corpus(str(tmp_path / name)).speech().digest for name in ("folder", "table/all.tsv", "tars")]

    first = digests()
    for sound in (tmp_path / "folder/fr/a.wav", tmp_path / "table/a.wav"):
        os.utime(sound, (1, 1))  # a copy of the same corpus is the same
    assert digests() == first
    assert open_corpus(f"{tmp_path}/folder?lang=en").speech().digest != first[0]
    moved = (tmp_path / "table").rename(tmp_path / "moved")
    assert open_corpus(str(moved / "all.tsv")).speech().digest == first[1]
    moved.rename(tmp_path / "table")
    put(tmp_path / "folder/fr/a.txt", "texte deux")
    second = digests()
    assert [one == other for one, other in zip(first, second, strict=True)] == [False, True, True]
    louder = bytes(byte ^ 1 if place > 100 else byte for place, byte in enumerate(tone()))  # of the same size
    put(tmp_path / "folder/fr/a.wav", louder)
    put(tmp_path / "table/a.wav", louder)
    shard(tmp_path / "tars/0.tar", {"fr/a.wav": louder})
    assert not set(second) & set(digests())


def test_workers_read_what_was_listed(tmp_path: Path) -> None:
    shard(tmp_path / "fr/0.tar", {f"{name}.wav": tone(0.2) for name in "abc"})
    shard(tmp_path / "fr/1.tar", {"a.wav": tone(0.3)})
    put(tmp_path / "fr/more.md", "x")
    speech = open_corpus(str(tmp_path)).speech()
    assert speech.ids == ["a", "b", "c", "a#2"] and speech.kinds == {Kind("fr", False, False): 4}
    assert dict(speech.left_out) == {".md files": 1}
    read = {row["utt_id"]: row["status"] for row in speech.rows.take_all()}
    assert read == {"a": "ok", "b": "ok", "c": "ok", "a#2": "failed"}


def test_nemos_json_lines_are_read_by_their_usual_name(tmp_path: Path) -> None:
    put(tmp_path / "a.wav", tone())
    place = put(tmp_path / "manifest.json", '{"audio_filepath": "a.wav", "text": "oui", "lang": "fr"}\n')
    assert {name: row["text"] for name, row in rows(open_corpus(str(place))).items()} == {"a": "oui"}


@pytest.mark.parametrize("options", ["config=fr&lang=fr", "split=../other&lang=fr"])
def test_an_option_that_a_folder_of_recordings_has_not_is_said(tmp_path: Path, options: str) -> None:
    put(tmp_path / "set/train/a.wav", tone())
    put(tmp_path / "other/b.wav", tone())
    with pytest.raises(CorpusError, match=r"has no (configurations: take config=fr out|split ../other; it has train)"):
        open_corpus(f"hf://{tmp_path}/set?{options}")


def test_names_of_folders_hold_any_letters_and_a_path_may_be_too_long(tmp_path: Path) -> None:
    place = tmp_path / "a b'\"é#%20"
    put(place / "fr/a.wav", tone())
    assert list(rows(open_corpus(f"hf://{place}"))) == list(rows(open_corpus(str(place)))) == ["fr/a"]
    for uri in (f"hf://{tmp_path}/{'x' * 300}", f"{tmp_path}/{'x' * 300}?lang=fr"):
        with pytest.raises((MissingCorpus, StoreError), match="does not exist|File name too long"):
            open_corpus(uri)


def test_suffixes_may_be_in_capitals(tmp_path: Path) -> None:
    made = shard(tmp_path / "tars/a.tar", {"fr/A.WAV": tone(), "fr/A.TXT": "oui"})
    made.rename(tmp_path / "tars/A.TAR")
    (tmp_path / "parquet").mkdir()
    pq.write_table(pa.table({"utt_id": ["a"], "lang": ["fr"], "audio": [tone()]}), tmp_path / "parquet/A.PARQUET")
    assert {name: row["text"] for name, row in rows(open_corpus(str(tmp_path / "tars"))).items()} == {"fr/A": "oui"}
    assert list(rows(open_corpus(str(tmp_path / "parquet")))) == ["a"]


def test_a_run_over_a_changed_corpus_is_refused_in_words(tmp_path: Path) -> None:
    units = DatasetDir(str(tmp_path / "units"), UNITS)
    units.start({"stage": "tokenize", "inputs": {"corpus": "old"}})
    with pytest.raises(
        FingerprintMismatch, match=r"inputs.corpus: 'old' in the folder, 'new' in the recipe \(the corpus changed: its files"
    ):
        units.start({"stage": "tokenize", "inputs": {"corpus": "new"}})
