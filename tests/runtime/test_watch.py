"""What cannot be placed or stands still ends with a sentence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from factory.runtime.watch import Stalled, fits, run_watched
from tests.actors.test_guard import guard, table

WANTED = {"translator": (2, {"CPU": 1.0, "GPU": 1.0})}


def test_work_that_stands_still_is_ended_and_work_that_moves_is_not(local_ray: None) -> None:
    never = threading.Event()

    def stuck(moved: Callable[[], None]) -> None:
        moved()
        never.wait()

    sentence = r"^produce has not moved for 0.4 s .*: asked for were 2 translator \(1 CPU, 1 GPU each\); there are 1 nodes with 4 CPU"
    with pytest.raises(Stalled, match=sentence):
        run_watched(stuck, "produce", 0.4, WANTED)
    never.set()

    def slow(moved: Callable[[], None]) -> str:
        for _ in range(60):
            time.sleep(0.1)
            moved()
        return "done"

    assert run_watched(slow, "produce", 4, WANTED) == "done"


def test_an_actor_that_computes_is_no_work_that_stands_still() -> None:
    def one_row(moved: Callable[[], None]) -> str:
        return str(guard(row_timeout_s=6.0)(table("spin"))["reason"][0])

    assert (
        run_watched(one_row, "produce", 4, WANTED)
        == "timeout: Fragile was cut off after 6 s of computing with this row"
    )


def test_what_the_work_raises_is_raised() -> None:
    def broken(moved: Callable[[], None]) -> None:
        raise KeyError("de")

    with pytest.raises(KeyError, match="de"):
        run_watched(broken, "produce", 10, WANTED)


def test_a_share_of_a_gpu_lies_on_one_gpu() -> None:
    node = {"CPU": 16.0, "GPU": 2.0}
    assert fits({"translator": (2, {"CPU": 1.0, "GPU": 0.6}), "vocoder": (4, {"CPU": 1.0, "GPU": 0.2})}, [node])
    assert not fits(
        {"translator": (3, {"CPU": 1.0, "GPU": 0.6})}, [node]
    )  # 1.8 of 2 GPUs, but the third would lie on both


@pytest.mark.parametrize(
    ("nodes", "fit"),
    [
        ([{"CPU": 4.0}], False),
        ([{"CPU": 4.0, "GPU": 2.0}], True),
        ([{"CPU": 1.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}], True),
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}], False),  # enough cores, but not where the GPU is
        ([{"CPU": 1.5, "GPU": 2.0}], False),
    ],
)
def test_actors_fit_onto_nodes_or_not(nodes: list[dict[str, float]], fit: bool) -> None:
    assert fits(WANTED, nodes) is fit
