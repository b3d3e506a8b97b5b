"""Every row has an id of its own, and no row is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from factory.corpora.marking import make_ids_unique


def unique(ids: list[str | None]) -> list[str]:
    new_ids = make_ids_unique(ids)
    return [new_ids[index].utt_id if index in new_ids else str(utt_id) for index, utt_id in enumerate(ids)]


def test_the_first_row_of_an_id_keeps_it_and_the_others_get_free_numbers() -> None:
    assert unique(["a", "b", "a", "a"]) == ["a", "b", "a#2", "a#3"]
    assert unique(["a", "a", "a#2"]) == ["a", "a#3", "a#2"], "an utterance whose real id is a#2 keeps its name"
    assert unique([None, "a", "", "no_id#1"]) == ["no_id#2", "a", "no_id#3", "no_id#1"]


@given(
    some.lists(some.one_of(some.none(), some.sampled_from(["", "a", "a#2", "a#3", "a#2#2", "no_id#1"])), max_size=12)
)
def test_ids_are_all_different_and_a_first_one_is_never_changed(names: list[str | None]) -> None:
    ids = unique(names)
    assert len(set(ids)) == len(names)
    for index, name in enumerate(names):
        if name and name not in names[:index]:
            assert ids[index] == name


def test_the_reason_names_the_duplicate_id() -> None:
    new_ids = make_ids_unique(["a", "a", None])
    assert new_ids[1].reason.startswith("duplicate_id: a occurs more than once")
    assert new_ids[2].reason == "no_id: the row has no utt_id"
    row = new_ids[1].apply({"utt_id": "a", "lang": "fr", "status": "failed", "reason": "broken_line: line 3"})
    assert (row["utt_id"], row["status"], row["reason"]) == ("a#2", "failed", "broken_line: line 3")
