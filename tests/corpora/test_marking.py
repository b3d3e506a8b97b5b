"""Every row has an id of its own, and no row is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from factory.corpora.marking import rename


def ids(given: list[str | None]) -> list[str]:
    renamed = rename(given)
    return [renamed[place].utt_id if place in renamed else str(name) for place, name in enumerate(given)]


def test_the_first_row_of_an_id_keeps_it_and_the_others_get_numbers_that_nobody_has() -> None:
    assert ids(["a", "b", "a", "a"]) == ["a", "b", "a#2", "a#3"]
    assert ids(["a", "a", "a#2"]) == ["a", "a#3", "a#2"], "an utterance that is really called a#2 keeps its name"
    assert ids([None, "a", "", "no_id#1"]) == ["no_id#2", "a", "no_id#3", "no_id#1"]


@given(
    some.lists(some.one_of(some.none(), some.sampled_from(["", "a", "a#2", "a#3", "a#2#2", "no_id#1"])), max_size=12)
)
def test_ids_are_all_different_and_a_first_one_is_never_changed(names: list[str | None]) -> None:
    told = ids(names)
    assert len(set(told)) == len(names)
    for place, name in enumerate(names):
        if name and name not in names[:place]:
            assert told[place] == name


def test_the_reason_says_which_id_is_there_twice() -> None:
    renamed = rename(["a", "a", None])
    assert renamed[1].reason.startswith("duplicate_id: a occurs more than once")
    assert renamed[2].reason == "no_id: the row has no utt_id"
    row = renamed[1].row({"utt_id": "a", "lang": "fr", "status": "failed", "reason": "broken_line: line 3"})
    assert (row["utt_id"], row["status"], row["reason"]) == ("a#2", "failed", "broken_line: line 3")
