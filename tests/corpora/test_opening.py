"""A corpus is recognised by its name and its files; a corpus that cannot be opened gives one sentence."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.corpora.base import CorpusError, MissingCorpus
from factory.corpora.columns import Options
from factory.corpora.corpus import Corpus, FolderCorpus, HubCorpus, ParquetCorpus, TableCorpus, TarCorpus
from factory.corpora.opening import open_corpus, split_options
from factory.storage.manifest import StoreError
from tests.corpora.speech import left_out, put, rows, shard, tone

pytestmark = pytest.mark.usefixtures("local_ray")

HEADER = "utt_id\tlang\tpath\ttext\n"


@pytest.mark.parametrize(
    ("file", "corpus_type"),
    [
        ("fr/a.wav", FolderCorpus),
        ("fr/0.tar", TarCorpus),
        ("fr/a.parquet", ParquetCorpus),
        ("fr/validated.tsv", TableCorpus),
        ("metadata.jsonl", TableCorpus),
    ],
)
def test_the_type_of_a_folder_is_the_first_that_has_a_file(
    tmp_path: Path, file: str, corpus_type: type[Corpus]
) -> None:
    put(tmp_path / "set/fr/b.wav", tone())
    put(tmp_path / "set" / file, '{"path": "fr/b.wav"}' if file.endswith("jsonl") else "path\nb.wav\n")
    assert type(open_corpus(str(tmp_path / "set"))) is corpus_type


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.zip",
            "PK",
            r"a.zip: the format .zip is not supported; expected Parquet, tar shards, a table \(.tsv, .csv, .jsonl\)",
        ),
        ("a.wav", "RIFF", "a.wav is one recording"),
        ("a.parquet", "PAR1", "a.parquet is not a complete Parquet file"),
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
            "no recording that .*lost.tsv names exists; the first is .*/no.wav",
        ),
        ("windows.tsv", f"{HEADER}a\tfr\tclips\\a.wav\tx\n", r"the first is .*/clips.a.wav: write paths with /"),
        (
            "text.tsv?text=words",
            f"{HEADER}a\tfr\tno.wav\tx\n",
            r"has no column words \(option text=words\); it has utt_id, lang, path, text",
        ),
        ("opt.tsv?language=fr", HEADER, "unknown option language=fr; options are config, split, lang, text"),
        ("split.tsv?split=train", HEADER, "config and split are options of hf:// only"),
    ],
)
def test_a_corpus_that_cannot_be_read_gives_one_sentence(tmp_path: Path, name: str, content: str, message: str) -> None:
    put(tmp_path / name.partition("?")[0], content)
    uri = f"{tmp_path}/{name.partition('/')[0] if '/' in name else name}"
    with pytest.raises(CorpusError, match=message):
        open_corpus(uri).load_speech()


def test_a_missing_corpus_is_an_error_of_its_own(tmp_path: Path) -> None:
    for uri in (f"{tmp_path}/none", f"hf://{tmp_path}/none"):
        with pytest.raises(MissingCorpus, match="none does not exist"):
            open_corpus(uri)


def test_options_follow_a_question_mark_unless_it_is_in_the_name(tmp_path: Path) -> None:
    assert split_options("a.tsv?lang=fr&text=words") == ("a.tsv", Options(lang="fr", text="words"))
    path = put(tmp_path / "what?lang=fr.tsv", HEADER)
    assert split_options(str(path)) == (str(path), Options())
    store = "s3://bucket/a?endpoint_override=localhost:9000&lang=fr"
    assert split_options(store) == ("s3://bucket/a?endpoint_override=localhost:9000", Options(lang="fr"))


def test_json_lines_may_have_the_suffix_json(tmp_path: Path) -> None:
    put(tmp_path / "a.wav", tone())
    path = put(tmp_path / "manifest.json", '{"audio_filepath": "a.wav", "text": "oui", "lang": "fr"}\n')
    assert {name: row["text"] for name, row in rows(open_corpus(str(path))).items()} == {"a": "oui"}


def test_tables_that_a_folder_does_not_use_are_counted(tmp_path: Path) -> None:
    for name in ("fr/a.wav", "fr/validated.tsv", "fr/all.tsv", "README.md"):
        put(tmp_path / name, "path\na.wav\n" if name.endswith("tsv") else tone())
    assert isinstance(open_corpus(str(tmp_path)), TableCorpus)
    assert left_out(str(tmp_path)) == ".md files 1, .tsv files 1"


@pytest.mark.parametrize("options", ["config=fr&lang=fr", "split=../other&lang=fr"])
def test_an_option_that_a_folder_of_recordings_lacks_is_refused(tmp_path: Path, options: str) -> None:
    put(tmp_path / "set/train/a.wav", tone())
    put(tmp_path / "other/b.wav", tone())
    message = r"has no (configurations: remove config=fr|split ../other; it has train)"
    with pytest.raises(CorpusError, match=message):
        open_corpus(f"hf://{tmp_path}/set?{options}")


def test_a_split_of_a_folder_of_recordings_is_a_folder_in_it(tmp_path: Path) -> None:
    put(tmp_path / "set/train/fr/a.wav", tone())
    put(tmp_path / "set/test/fr/b.wav", tone())
    assert list(rows(open_corpus(f"hf://{tmp_path}/set?split=test"))) == ["fr/b"]


def test_the_name_of_a_folder_may_hold_any_letters(tmp_path: Path) -> None:
    folder = tmp_path / "a b'\"é#%20"
    put(folder / "fr/a.wav", tone())
    assert list(rows(open_corpus(f"hf://{folder}"))) == list(rows(open_corpus(str(folder)))) == ["fr/a"]


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    for uri in (f"hf://{tmp_path}/{'x' * 300}", f"{tmp_path}/{'x' * 300}?lang=fr"):
        with pytest.raises((MissingCorpus, StoreError), match="does not exist|File name too long"):
            open_corpus(uri)


def test_suffixes_may_be_in_capitals(tmp_path: Path) -> None:
    tar = shard(tmp_path / "tars/a.tar", {"fr/A.WAV": tone(), "fr/A.TXT": "oui"})
    tar.rename(tmp_path / "tars/A.TAR")
    (tmp_path / "parquet").mkdir()
    pq.write_table(pa.table({"utt_id": ["a"], "lang": ["fr"], "audio": [tone()]}), tmp_path / "parquet/A.PARQUET")
    assert {name: row["text"] for name, row in rows(open_corpus(str(tmp_path / "tars"))).items()} == {"fr/A": "oui"}
    assert list(rows(open_corpus(str(tmp_path / "parquet")))) == ["a"]


def test_a_dataset_of_the_hub_is_named_by_owner_and_name() -> None:
    corpus = open_corpus("hf://datasets/me/speech?lang=fr")
    assert isinstance(corpus, HubCorpus) and corpus.root == "me/speech"
    with pytest.raises(CorpusError, match="is not a dataset; expected hf://datasets/OWNER/NAME"):
        open_corpus("hf://models/x")
