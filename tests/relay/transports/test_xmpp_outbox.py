"""What is said again, for how long, and how much of it."""

from __future__ import annotations

from autosync.relay.transports.xmpp_outbox import SAID_AGAIN, Outbox
from tests.support.xmpp import announcement


def test_the_newest_of_each_branch_is_said_again_for_a_while():
    outbox = Outbox()
    first, second = announcement("a" * 40), announcement("b" * 40)
    other = announcement("c" * 40, ref="refs/heads/other")
    for number, said in enumerate((first, other, second)):
        outbox.add(said, float(number))
    assert outbox.recent(2.0) == [other, second]
    assert (outbox.has_said(second), outbox.has_said(first)) == (True, False)
    assert outbox.recent(SAID_AGAIN + 1.5) == [second]
    assert outbox.recent(SAID_AGAIN + 2.5) == []


def test_what_waits_is_bounded():
    outbox = Outbox()
    for number in range(10_000):
        outbox.add(announcement(ref=f"refs/heads/b{number}"), 0.0)
        outbox.letters.append(("rene@example.org", str(number)))
    assert [one.ref for one in outbox.recent(0.0)][-1] == "refs/heads/b9999"
    assert len(outbox.recent(0.0)) <= 256
    assert outbox.letters[-1] == ("rene@example.org", "9999")
    assert len(outbox.letters) <= 20
