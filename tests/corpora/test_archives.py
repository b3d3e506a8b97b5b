"""CVSS and Common Voice in the layout of their archives, at toy size.

What is joined, what is left out, and that a round can read it.
"""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.corpora import common_voice, cvss
from factory.corpora.archive import Clips
from factory.corpora.audio import encode, read
from factory.corpora.base import CorpusError
from factory.corpora.opening import open_corpus
from factory.passes.paired import join_sides
from schemas.datasets import UNITS
from tests.corpora.speech import put

HEADER = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent"
SENTENCES = {
    "common_voice_fr_1": 'Il a dit "oui.',
    "common_voice_fr_2": "Où est la gare ?",
    "common_voice_fr_3": "Merci.",
    "common_voice_fr_9": "Seul.",
}
ENGLISH = {
    "train": [("common_voice_fr_1", 'he said "yes'), ("common_voice_fr_7", "lost")],
    "dev": [("common_voice_fr_2", "where")],
}
ENGLISH["test"] = [("common_voice_fr_3", "thanks")]


def sound(seconds: float, suffix: str) -> bytes:
    wave = np.sin(np.arange(int(16_000 * seconds)) / 20).astype(np.float32) / 2
    return encode(wave, suffix)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """CVSS and Common Voice as folders."""
    root = tmp_path_factory.mktemp("corpora")
    voice, translated = root / "fr", root / "cvss_c_fr_en_v1.0"
    (voice / "clips").mkdir(parents=True)
    lines = [HEADER, *(f"s{name[-1]}\t{name}.mp3\t{text}\t2\t0\t\t\t" for name, text in SENTENCES.items())]
    (voice / "validated.tsv").write_text("\n".join(lines))
    for place, name in enumerate(SENTENCES):
        (voice / "clips" / f"{name}.mp3").write_bytes(sound(0.5 + place / 10, "WAV"))
    for split, rows in ENGLISH.items():
        (translated / split).mkdir(parents=True)
        (translated / f"{split}.tsv").write_text("".join(f"{name}.mp3\t{text}\n" for name, text in rows))
        for name, _ in rows:
            (translated / split / f"{name}.mp3.wav").write_bytes(sound(0.4, "WAV"))
    return translated, voice


def packed(folder: Path, out: Path, inside: str) -> Path:
    """Pack a folder as the corpora are: clips in front of the tables, everything below one folder."""
    with tarfile.open(out, "w:gz") as archive:
        for file in sorted(folder.rglob("*.*"), key=lambda file: file.suffix == ".tsv"):
            if file.is_file():
                info = tarfile.TarInfo(f"{inside}{file.relative_to(folder).as_posix()}")
                info.size = file.stat().st_size
                archive.addfile(info, io.BytesIO(file.read_bytes()))
    return out


@pytest.fixture(params=["folders", "archives"])
def sources(request: pytest.FixtureRequest, folders: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Both, as folders and as archives."""
    if request.param == "folders":
        return folders
    return packed(folders[0], tmp_path / "cvss.tar.gz", "./"), packed(
        folders[1], tmp_path / "fr.tar.gz", "cv-corpus-4/fr/"
    )


def test_both_sides_are_joined_by_file_name(
    sources: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cvss.main(
        ["--cvss", str(sources[0]), "--common-voice", str(sources[1]), "--src", "fr", "--out", str(tmp_path / "out")]
    )
    told = capsys.readouterr().out
    assert "left out for want of a sentence" in told and "{'train': 1}" in told
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dev", "test", "train"]
    rows = {row["utt_id"]: row for row in pq.read_table(tmp_path / "out/train").to_pylist()}
    assert set(rows) == {"common_voice_fr_1/fr", "common_voice_fr_1/en"}
    french, english = rows["common_voice_fr_1/fr"], rows["common_voice_fr_1/en"]
    assert (french["text"], french["reference"], french["speaker"]) == ('Il a dit "oui.', 'he said "yes', "s1")
    assert (english["text"], english["reference"]) == ('he said "yes', 'Il a dit "oui.')
    assert len(read(french["audio"])) == 8_000 and len(read(english["audio"])) == 6_400
    assert (
        open_corpus("assets/phrasebook/paired.parquet").holds_units
        and not open_corpus(str(tmp_path / "out/train")).holds_units
    )


def test_common_voice_alone_is_untranslated_speech(sources: tuple[Path, Path], tmp_path: Path) -> None:
    common_voice.main(["--archive", str(sources[1]), "--lang", "fr", "--out", str(tmp_path)])
    rows = pq.read_table(tmp_path / "mono").to_pylist()
    assert {row["utt_id"]: row["text"] for row in rows} == SENTENCES
    assert {row["lang"] for row in rows} == {"fr"} and all(row["reference"] is None for row in rows)


def test_what_another_corpus_holds_is_left_out_by_clip_and_by_sentence(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"utt_id": "common_voice_fr_1/fr", "lang": "fr", "text": "another sentence"}]
    rows.append({"utt_id": "x/fr", "lang": "fr", "text": "Merci."})
    rows.append(
        {"utt_id": "common_voice_fr_2/en", "lang": "en", "text": "Seul."}
    )  # the other side's language does not count
    (tmp_path / "cvss/train").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "cvss/train/a.parquet")
    common_voice.main(
        ["--archive", str(folders[1]), "--lang", "fr", "--exclude", str(tmp_path / "cvss"), "--out", str(tmp_path)]
    )
    left = pq.read_table(tmp_path / "mono")["utt_id"].to_pylist()
    assert left == ["common_voice_fr_2", "common_voice_fr_9"] and "'left out, excluded': 2" in capsys.readouterr().out


def convert(*arguments: str) -> int:
    return common_voice.main(list(arguments))


def test_a_folder_of_several_languages_gives_the_one_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for lang, text in (("en", "Yes."), ("fr", "Oui.")):
        put(tmp_path / f"cv/{lang}/clips/common_voice_{lang}_1.mp3", sound(0.5, "WAV"))
        put(
            tmp_path / f"cv/{lang}/validated.tsv",
            f"client_id\tpath\tsentence\tlocale\ns\tcommon_voice_{lang}_1.mp3\t{text}\t{lang}\n",
        )
    assert convert("--archive", str(tmp_path / "cv"), "--lang", "en", "--out", str(tmp_path / "out")) == 0
    assert [(row["lang"], row["text"]) for row in pq.read_table(tmp_path / "out/mono").to_pylist()] == [("en", "Yes.")]
    assert convert("--archive", str(tmp_path / "cv/fr"), "--lang", "en", "--out", str(tmp_path / "none")) == 2
    told = capsys.readouterr().err
    assert (
        "cv/fr are not in en (clips by locale: fr 1); give their own language" in told
        and not (tmp_path / "none").exists()
    )


LOCALE = "client_id\tpath\tsentence\tlocale\n"
WHOLE = "s1\tcommon_voice_fr_1.mp3\tOui.\tfr\n"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (f"{LOCALE}{WHOLE}s2\tcommon_voice_fr_2.mp3", "left out: broken_line: line 3 of "),
        (f"{LOCALE}{WHOLE}\n\n", ""),
        (f"\ufeff{LOCALE}{WHOLE}", ""),
        (f"{LOCALE}{WHOLE}s3\tcommon_voice_fr_3.mp3\tbon\u2028jour\tfr\n", "'left out, clip not there': 1"),
    ],
    ids=["cut", "blank", "bom", "clip not there"],
)
def test_usual_faults_of_a_table_lose_their_line_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, told: str
) -> None:
    put(tmp_path / "fr/clips/common_voice_fr_1.mp3", sound(0.5, "WAV"))
    put(tmp_path / "fr/validated.tsv", table)
    put(tmp_path / "fr/._validated.tsv", b"\xb0\x00")
    assert convert("--archive", str(tmp_path / "fr"), "--lang", "fr", "--out", str(tmp_path / "out")) == 0
    assert told in capsys.readouterr().out
    [row] = pq.read_table(tmp_path / "out/mono").to_pylist()
    assert (row["utt_id"], row["text"], row["speaker"]) == ("common_voice_fr_1", "Oui.", "s1")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "has none of validated.tsv"),
        (
            {"validated.tsv": f"{LOCALE}{WHOLE}"},
            "no recording that .*validated.tsv names is there; the first is .*clips/common_voice_fr_1.mp3",
        ),
        ({"validated.tsv": f"{LOCALE}s\ta.mp3\té\tfr\n".encode("latin-1")}, "validated.tsv is no text in UTF-8"),
    ],
)
def test_an_archive_that_gives_nothing_ends_in_a_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str | bytes], sentence: str
) -> None:
    put(tmp_path / "fr/clips/.keep", "")
    for name, content in files.items():
        put(tmp_path / "fr" / name, content)
    assert convert("--archive", str(tmp_path / "fr"), "--lang", "fr", "--out", str(tmp_path / "out")) == 2
    told = capsys.readouterr().err
    assert re.search(sentence, told) and told.startswith("common_voice: ") and not (tmp_path / "out").exists()


def test_another_source_language_than_the_clips_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "es/train.tsv", "common_voice_es_1.mp3\tyes\n")
    put(tmp_path / "es/train/common_voice_es_1.mp3.wav", sound(0.4, "WAV"))
    arguments = ["--cvss", str(tmp_path / "es"), "--common-voice", str(folders[1]), "--out", str(tmp_path / "out")]
    assert cvss.main(arguments) == 2
    assert "es are in es, and --src is fr; give their own language" in capsys.readouterr().err


def test_what_does_not_fit_is_said(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there is no .*nowhere: expected an archive"):
        Clips(tmp_path / "nowhere", cvss.TABLES)
    clips = Clips(folders[1], ("validated.tsv",))
    with pytest.raises(CorpusError, match=r"has none of validated.tsv; is it the archive that it should be\?"):
        list(cvss.utterances(Clips(folders[0], cvss.TABLES), Clips(folders[0], ("validated.tsv",)), "fr"))
    with pytest.raises(CorpusError, match=r"has none of train.tsv, dev.tsv, test.tsv"):
        list(cvss.utterances(Clips(folders[1], cvss.TABLES), clips, "fr"))
    put(tmp_path / "other/validated.tsv", f"{HEADER}\nx\tcommon_voice_fr_77.mp3\tJa.\t2\t0\t\t\t")
    put(tmp_path / "other/clips/common_voice_fr_77.mp3", sound(0.4, "WAV"))
    with pytest.raises(CorpusError, match="no file name of .* occurs in .*: CVSS belongs to Common Voice version 4"):
        list(cvss.utterances(Clips(folders[0], cvss.TABLES), Clips(tmp_path / "other", ("validated.tsv",)), "fr"))
    whole = packed(folders[1], tmp_path / "whole.tar.gz", "")
    (tmp_path / "torn.tar.gz").write_bytes(whole.read_bytes()[:1_000])
    with pytest.raises(CorpusError, match=r"torn.tar.gz is no complete tar archive"):
        Clips(tmp_path / "torn.tar.gz", ("validated.tsv",)).lines()


def test_units_of_two_sides_become_a_pair_in_each_direction() -> None:
    told = [
        {"utt_id": f"{name}/{lang}", "lang": lang, "text": f"{name} in {lang}", "units": [place, 1], "status": "ok"}
        for place, (name, lang) in enumerate([("b", "fr"), ("a", "en"), ("a", "fr"), ("b", "en"), ("c", "fr")])
    ]
    table = pa.Table.from_pylist(told, schema=UNITS)
    [first, second] = join_sides(table, "fr", "en").to_pylist()
    assert (first["pair_id"], first["src_text"], first["tgt_text"]) == ("a/fr-en", "a in fr", "a in en")
    assert (second["src_units"], second["tgt_units"]) == ([0, 1], [3, 1])
    assert [row["src_lang"] for row in join_sides(table, "en", "fr").to_pylist()] == ["en", "en"]
    with pytest.raises(
        ValueError,
        match="no utterance has a partner: the two sides of a pair are called NAME/fr and NAME/de; one is b/fr",
    ):
        join_sides(table, "fr", "de")


@pytest.mark.parametrize("files", [{}, {"a.txt": "x"}, None])
def test_what_exclude_names_has_to_be_a_corpus_in_parquet(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str] | None
) -> None:
    other = tmp_path / "other"
    for name, content in (files or {}).items():
        put(other / name, content)
    if files == {}:
        other.mkdir()
    arguments = ["--archive", str(folders[1]), "--lang", "FR", "--exclude", str(other), "--out", str(tmp_path / "out")]
    assert common_voice.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"common_voice: --exclude {other} is no folder of Parquet alone") and said.count("\n") == 1
