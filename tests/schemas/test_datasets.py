"""The schemas are a contract with published datasets: names, types and required columns, each documented."""

from __future__ import annotations

import ast
import inspect
from typing import NotRequired, get_origin, get_type_hints

import pyarrow as pa
import pytest

from factory.metrics import METRICS
from schemas import datasets
from schemas.datasets import CANDIDATE, FAILED, OK, PAIR, SCORED, SCORES, SKIPPED, UNIT_WORD, UNSPOKEN, WORD, Candidate

STATUS = {"status": "string not null", "reason": "string"}
UTTERANCE = {
    "utt_id": "string not null",
    "lang": "string not null",
    "text": "string",
    "reference": "string",
    "speaker": "string",
    "split": "string",
}
DIRECTION = {"src_lang": "string not null", "tgt_lang": "string not null"}
EXPECTED: dict[str, dict[str, str]] = {
    "UTTERANCE": UTTERANCE | {"audio": "struct<bytes: binary, path: string>"},
    "UNITS": UTTERANCE | {"units": "list<int32>", "durations": "list<int32>", "num_samples": "int64"} | STATUS,
    "SCORES": dict.fromkeys(("bleu", "chrf", "meteor", "wer", "mcd", "reconstruction", "chrfpp"), "double"),
    "CANDIDATE": {
        "text": "string",
        "units": "list<int32>",
        "logprob": "double",
        "finish": "string",
        "back_translation": "string",
        "back_translation_units": "list<int32>",
        "back_translation_finish": "string",
        "scores": "SCORES",
        "source_text": "string",
    },
    "SCORED": {"utt_id": "string not null", "text": "string", "reference": "string", "units": "list<int32>"}
    | DIRECTION
    | {"durations": "list<int32>", "candidates": "list<CANDIDATE>"}
    | STATUS,
    "PAIR": {"pair_id": "string not null", "utt_id": "string not null", "metric": "string", "margin": "double"}
    | DIRECTION
    | dict.fromkeys(("prompt", "chosen", "rejected", "chosen_text", "rejected_text"), "string")
    | {"chosen_scores": "SCORES", "rejected_scores": "SCORES"}
    | {"chosen_back_translation_finish": "string", "rejected_back_translation_finish": "string"}
    | STATUS,
    "PAIRED": {"pair_id": "string not null", "src_text": "string", "tgt_text": "string"}
    | DIRECTION
    | {"src_units": "list<int32>", "tgt_units": "list<int32>"}
    | {"src_durations": "list<int32>", "tgt_durations": "list<int32>"}
    | {"src_words": "list<WORD>", "tgt_words": "list<WORD>"},
    "WORD": {"text": "string", "start": "int32", "end": "int32"},
    "ALIGNED": {"utt_id": "string not null", "lang": "string not null", "text": "string", "words": "list<WORD>"}
    | STATUS,
    "UNIT_WORD": {"text": "string", "units": "int32"},
    "SEQUENCE": {"sequence_id": "string not null", "task": "string", "prompt": "string", "completion": "string"}
    | {"prompt_words": "list<UNIT_WORD>", "completion_words": "list<UNIT_WORD>"},
    "EVALUATED": {"utt_id": "string not null", "units": "list<int32>", "mos": "double", "cascade_mos": "double"}
    | DIRECTION
    | dict.fromkeys(("reference", "text", "finish", "asr_text", "source_text", "cascade_text"), "string")
    | {"back_translation": "string", "spoken_lang": "string", "source_s": "double", "speech_s": "double"}
    | {"dnsmos": "double", "speaker_similarity": "double", "unmeasured": "list<string>"}
    | STATUS,
    "TOPLINE": {"utt_id": "string not null", "lang": "string not null", "reference": "string"}
    | {"audio_asr": "string", "audio_mos": "double", "resynthesised_asr": "string", "resynthesised_mos": "double"}
    | STATUS,
}


def type_name(field: pa.Field) -> str:
    """Return a field's type as in EXPECTED."""
    if field.type == SCORES:
        return "SCORES"
    if field.type == pa.list_(CANDIDATE):
        return "list<CANDIDATE>"
    if field.type == pa.list_(WORD):
        return "list<WORD>"
    if field.type == pa.list_(UNIT_WORD):
        return "list<UNIT_WORD>"
    name = str(field.type).replace("item: ", "").replace("element: ", "")
    return name if field.nullable else f"{name} not null"


def docstrings() -> dict[str, str]:
    """Return the string after each assignment of `schemas.datasets`."""
    body = ast.parse(inspect.getsource(datasets)).body
    return {
        node.targets[0].id: string.value.value
        for node, string in zip(body, body[1:], strict=False)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if isinstance(string, ast.Expr) and isinstance(string.value, ast.Constant)
    }


@pytest.mark.parametrize("name", EXPECTED)
def test_the_columns_of_a_schema_are_those_of_published_datasets(name: str) -> None:
    assert {field.name: type_name(field) for field in getattr(datasets, name)} == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_every_column_is_documented(name: str) -> None:
    text = docstrings()[name]
    missing = [column for column in EXPECTED[name] if f"`{column}`" not in text and column not in STATUS]
    assert missing == []


def test_a_candidate_has_the_same_fields_in_python_and_in_arrow() -> None:
    assert list(get_type_hints(Candidate)) == [field.name for field in CANDIDATE]
    hints = get_type_hints(Candidate, include_extras=True)
    assert [name for name, hint in hints.items() if get_origin(hint) is NotRequired] == ["scores", "source_text"]


def test_scores_have_a_column_for_every_metric() -> None:
    assert [field.name for field in SCORES] == list(METRICS)


def test_a_pair_has_the_columns_that_trl_reads() -> None:
    assert {"prompt", "chosen", "rejected"} <= set(PAIR.names)


def test_words_that_are_stored_in_rows_never_change() -> None:
    assert (OK, SKIPPED, FAILED, UNSPOKEN) == ("ok", "skipped", "failed", "unspoken")


def test_a_row_comes_back_as_it_was_written() -> None:
    candidate: Candidate = {
        "text": "it rains",
        "units": [3, 2**31 - 1],
        "logprob": -1.5,
        "finish": OK,
        "back_translation": None,
        "back_translation_units": [],
        "back_translation_finish": "no_text",
        "scores": {
            "bleu": 0.5,
            "chrf": None,
            "meteor": None,
            "wer": 1.0,
            "mcd": 3.25,
            "reconstruction": -0.5,
            "chrfpp": 0.25,
        },
        "source_text": "il pleut",
    }
    row = {"utt_id": "u1", "src_lang": "fr", "tgt_lang": "en", "status": OK, "candidates": [candidate]}
    assert pa.Table.from_pylist([row], schema=SCORED).to_pylist() == [dict.fromkeys(SCORED.names) | row]
