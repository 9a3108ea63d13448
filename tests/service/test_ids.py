"""Ids: distinct, and in the order in which they were made."""

import time

from service.ids import new_id
from tests.service.conftest import Harness


def test_ids_sort_by_age(harness: Harness) -> None:
    ids = [harness.submit() for _ in range(5)]
    assert len({*ids}) == 5
    assert [one[:8] for one in ids] == sorted(one[:8] for one in ids)


def test_ids_are_distinct_and_in_order() -> None:
    ids = []
    for _ in range(200):
        ids.append(new_id())
        time.sleep(1e-6)
    assert len({*ids}) == 200
    assert ids == sorted(ids)
    assert {(one[14], one[19] in "89ab") for one in ids} == {("7", True)}
