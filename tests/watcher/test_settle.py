"""When a path has settled: events and a clock in, batches out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autosync.watcher.settle import BULK, GRACE, Kind, Settling

A, B, C = b"a", b"b", b"c"


def due(settling, now):
    return set(settling.due(now).paths)


def test_a_path_is_due_when_quiet_and_closed():
    s = Settling(2, 60)
    s.mark(A, Kind.WRITTEN, 0)
    assert due(s, 30) == set()
    s.mark(A, Kind.CLOSED, 30)
    assert due(s, 31.9) == set()
    assert s.deadline(30) == 32
    assert due(s, 32) == {A}


def test_settled_paths_do_not_wait_for_a_busy_one():
    s = Settling(2, 60)
    s.mark(A, Kind.CLOSED, 0)
    for tick in range(50):
        s.mark(B, Kind.WRITTEN, tick / 10)
    assert due(s, 5) == {A}


def test_what_comes_to_rest_together_goes_together():
    s = Settling(2, 60)
    for number in range(5):
        s.mark(b"%d" % number, Kind.CLOSED, number / 10)
    s.mark(B, Kind.CLOSED, 3)
    assert due(s, 2) == set()
    assert s.deadline(2) == 2.4
    assert len(due(s, 2.4)) == 5


def test_going_together_has_an_end():
    s = Settling(2, 60)
    for number in range(9):
        s.mark(b"%d" % number, Kind.CLOSED, number * 0.4)
    assert s.deadline(3.2) == 4
    assert len(due(s, 4)) == 6


def test_what_never_rests_is_due_at_max_wait():
    s = Settling(2, 60)
    for tick in range(600):
        s.mark(A, Kind.WRITTEN, tick / 10)
    assert due(s, 59.9) == set()
    assert s.deadline(59.9) == 60
    assert due(s, 60) == {A}
    s.done(s.due(60))
    assert s.deadline(60) is None
    s.mark(A, Kind.WRITTEN, 60.1)
    assert s.deadline(60.1) == 120.1


def test_done_keeps_what_was_touched_meanwhile():
    s = Settling(0, 60)
    s.mark(A, Kind.CLOSED, 0)
    s.mark(B, Kind.CLOSED, 0)
    batch = s.due(0)
    s.mark(B, Kind.CLOSED, 1)
    s.done(batch)
    assert list(s) == [B]
    assert due(s, 1) == {B}
    assert s.deadline(1) == 1


def test_many_new_paths_are_one_batch():
    s = Settling(2, 60)
    for number in range(5 * BULK):
        s.mark(b"%d" % number, Kind.CLOSED, number / 10)
        assert due(s, number / 10) == set() or number < BULK
    last = (5 * BULK - 1) / 10
    waiting = len(s)
    assert due(s, last + 1.9) == set()
    assert s.deadline(last) == last + 2
    assert len(due(s, last + 2)) == waiting


def test_a_bulk_operation_without_end_is_cut_at_max_wait():
    s = Settling(2, 10)
    for number in range(200):
        s.mark(b"%d" % number, Kind.CLOSED, number / 10)
        if number / 10 < 10:
            assert due(s, number / 10) == set()
    assert len(due(s, 19.9)) >= 100


def test_a_vanished_file_waits_even_without_settling_time():
    s = Settling(0, 60)
    s.mark(A, Kind.GONE, 0)
    assert due(s, 0) == set()
    assert s.deadline(0) == GRACE
    assert due(s, GRACE) == {A}


def test_a_file_replaced_by_way_of_a_backup_is_never_seen_missing():
    s = Settling(0, 60)
    s.mark(A, Kind.GONE, 0)  # moved to a name that is ignored
    s.mark(A, Kind.CREATED, 0.01)
    assert due(s, 1) == set()
    s.mark(A, Kind.CLOSED, 1)
    assert due(s, 1) == {A}


def test_a_file_made_and_removed_at_once_delays_nobody():
    s = Settling(0, 60)
    s.mark(A, Kind.CREATED, 0)
    s.mark(A, Kind.GONE, 0)
    s.mark(B, Kind.ARRIVED, 0)
    assert due(s, 0) == {A, B}


def test_a_move_is_one_batch_and_needs_no_grace():
    s = Settling(0, 60)
    s.mark(A, Kind.GONE, 0)
    s.mark(B, Kind.ARRIVED, 0)
    s.moved(A, B)
    assert due(s, 0) == {A, B}


def test_the_old_place_waits_for_the_new_one():
    s = Settling(1, 60)
    s.mark(A, Kind.GONE, 0)
    s.mark(B, Kind.ARRIVED, 0)
    s.moved(A, B)
    s.mark(B, Kind.WRITTEN, 0.5)
    assert due(s, 5) == set()
    s.mark(B, Kind.CLOSED, 6)
    assert due(s, 6.5) == set()
    assert due(s, 7) == {A, B}


def test_moves_in_a_circle_end():
    s = Settling(1, 60)
    for old, new in ((A, B), (B, C), (C, A)):
        s.mark(old, Kind.GONE, 0)
        s.mark(new, Kind.GONE, 0)
        s.moved(old, new)
    assert due(s, 1 + GRACE) == {A, B, C}


def test_additions_wait_for_the_deletions_they_belong_to():
    s = Settling(2, 60)
    s.mark(B, Kind.CLOSED, 0)
    s.mark(A, Kind.CREATED, 0)
    s.mark(A, Kind.CLOSED, 0)  # a copy ...
    s.mark(C, Kind.GONE, 1.5)  # ... and its original
    assert due(s, 2) == {B}
    assert due(s, 3.5) == {A, B, C}


def test_a_file_on_its_way_is_not_taken_at_max_wait():
    s = Settling(2, 60)
    s.mark(b"d/.big.iso.x3Fq9Z", Kind.CREATED, 0)
    for tick in range(1, 100):
        s.mark(b"d/.big.iso.x3Fq9Z", Kind.WRITTEN, tick)
        assert due(s, tick) == set()
        assert s.deadline(tick) > tick
    s.mark(b"d/.big.iso.x3Fq9Z", Kind.CLOSED, 100)
    assert due(s, 102) == {b"d/.big.iso.x3Fq9Z"}


def test_what_was_read_while_open_is_read_again_when_closed():
    s = Settling(0, 10)
    s.mark(A, Kind.WRITTEN, 0)
    batch = s.due(10)
    assert (set(batch.paths), set(batch.rehash)) == ({A}, set())
    s.done(batch)
    s.mark(A, Kind.CLOSED, 20)
    assert set(s.due(20).rehash) == {A}
    s.done(s.due(20))
    s.mark(A, Kind.WRITTEN, 21)
    s.mark(A, Kind.CLOSED, 21)
    assert set(s.due(21).rehash) == set()


def test_what_is_closed_without_a_word_of_its_writing_is_read_again():
    """Nobody knows how long its writer has had it, nor what that wrote through memory."""
    s = Settling(0, 10)
    s.mark(A, Kind.CLOSED, 0)
    s.mark(B, Kind.CHANGED, 0)
    s.mark(C, Kind.CREATED, 0)
    s.mark(C, Kind.CLOSED, 0)
    assert set(s.due(0).rehash) == {A}


def test_what_is_touched_while_it_is_committed_is_read_again():
    s = Settling(0, 10)
    s.mark(A, Kind.WRITTEN, 0)
    s.mark(B, Kind.WRITTEN, 0)
    s.mark(B, Kind.CLOSED, 0)
    batch = s.due(10)
    assert set(batch.paths) == {A, B}
    s.mark(A, Kind.CLOSED, 10.1)
    s.mark(B, Kind.WRITTEN, 10.1)
    s.mark(B, Kind.CLOSED, 10.1)
    s.done(batch)
    assert set(s.due(10.1).rehash) == {A, B}


def test_what_was_read_while_open_is_read_again_after_lost_events():
    s = Settling(1, 60)
    s.mark(A, Kind.WRITTEN, 0)
    s.done(s.due(60))
    s.events_lost(61)
    assert set(s.due(62).rehash) == {A}


def test_after_lost_events_nothing_counts_as_open():
    s = Settling(1, 60)
    s.mark(A, Kind.CREATED, 0)
    s.events_lost(5)
    assert s.deadline(5) == 6
    assert due(s, 6) == {A}


EVENTS = st.lists(
    st.tuples(st.sampled_from([A, B, C, b"d/e"]), st.sampled_from(list(Kind)), st.floats(0, 3)),
    max_size=40,
)


@given(EVENTS, st.sampled_from([0.0, 0.5, 2.0]), st.sampled_from([0.0, 5.0, 60.0]), st.booleans())
def test_everything_is_due_in_the_end_and_deadlines_are_true(events, settle, max_wait, takes):
    s = Settling(settle, max_wait)
    now = 0.0
    for path, kind, pause in events:
        now += pause
        s.mark(path, kind, now)
        if kind is Kind.ARRIVED:
            s.moved(C, path)
        batch = s.due(now)
        deadline = s.deadline(now)
        assert (deadline is None) == (len(s) == 0)
        if deadline is not None:
            # nothing is due before the deadline, something is at it: no spinning and no sleeping too long
            assert bool(batch) == (deadline <= now)
        if batch and takes:
            s.done(batch)
            assert not set(batch.paths) & set(s)
    rounds = 0
    while len(s):
        now = max(now, s.deadline(now))
        batch = s.due(now)
        s.done(batch)
        rounds += 1
        assert batch
        assert rounds < 100


@given(EVENTS)
def test_everything_can_be_had_at_once(events):
    s = Settling(2, 60)
    for path, kind, _ in events:
        s.mark(path, kind, 0)
    assert set(s.due(0, everything=True).paths) == {path for path, _, _ in events}
