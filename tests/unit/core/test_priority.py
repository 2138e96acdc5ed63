"""Who begins first: the urgent ones, and nobody waits for ever."""

from hypothesis import given
from hypothesis import strategies as st

from gcwatch.core.rules.priority import OLDEST_TURN, RANKS, next_keys


def orders(cases):
    """Keys by rank and age, and by age alone, of cases as (rank, age in turns)."""
    keys = {f"{number}": case for number, case in enumerate(cases)}
    oldest = sorted(keys, key=lambda key: (-keys[key][1], key))
    return sorted(oldest, key=lambda key: keys[key][0]), oldest


def test_urgent_cases_begin_first_and_each_fourth_is_the_oldest():
    ranked = ["u1", "u2", "u3", "u4", "n1", "n2"]
    oldest = ["n1", "n2", "u1", "u2", "u3", "u4"]
    assert next_keys(ranked, oldest, 0, 6) == ["u1", "u2", "u3", "n1", "u4", "n2"]
    assert next_keys(ranked, oldest, 3, 2) == ["n1", "u1"]
    assert next_keys(ranked, oldest, 0, 2) == ["u1", "u2"]


@given(
    st.lists(st.tuples(st.sampled_from([*RANKS.values()]), st.integers(0, 9)), max_size=12),
    st.integers(0, 9),
    st.integers(0, 14),
)
def test_everybody_begins_once_as_far_as_there_is_room(cases, starts, count):
    ranked, oldest = orders(cases)
    chosen = next_keys(ranked, oldest, starts, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(cases))
    assert set(chosen) <= set(ranked)


@given(st.integers(1, 3), st.integers(0, 20))
def test_a_low_case_begins_although_urgent_ones_never_end(places, backlog):
    """Each turn brings as many new urgent cases as there are places."""
    waiting = [(2, "low", 0), *((1, f"normal-{each}", 0) for each in range(backlog))]
    starts = 0
    for turn in range(1, OLDEST_TURN * (backlog + 2)):
        waiting += [(0, f"urgent-{turn}-{each}", turn) for each in range(places)]
        ranked = [key for _, key, _ in sorted(waiting, key=lambda each: (each[0], each[2]))]
        oldest = [key for _, key, _ in sorted(waiting, key=lambda each: each[2])]
        chosen = next_keys(ranked, oldest, starts, places)
        starts += len(chosen)
        if "low" in chosen:
            return
        waiting = [each for each in waiting if each[1] not in chosen]
    raise AssertionError("it waits for ever")
