"""`Admission`: who gets a permit, who waits, who is refused, each rule by an example."""

import pytest

from sidecard.core.call import Priority
from sidecard.policy.admission import (
    Admission,
    AdmissionPolicy,
    Displacement,
    Refusal,
    State,
    Ticket,
    Why,
)
from sidecard.policy.concurrency import AdaptivePolicy

INTERACTIVE, BATCH = Priority.INTERACTIVE, Priority.BATCH
NOW = 1_000.0
LATE = NOW + 10_000.0


def full(
    in_flight: int = 1, queue: int = 8, tenant: str = "busy", **policy: object
) -> tuple[Admission, list[Ticket]]:
    """Return an admission whose permits are all out, to one tenant, and their tickets."""
    admission = Admission(AdmissionPolicy(in_flight, queue, **policy))  # type: ignore[arg-type]
    return admission, [enters(admission, tenant) for _ in range(in_flight)]


def enters(
    admission: Admission,
    tenant: str = "a",
    priority: Priority = INTERACTIVE,
    deadline: float = LATE,
    now: float = NOW,
) -> Ticket:
    """Have a call enter that is let in or may wait, without harm to others."""
    place = admission.enter(tenant, priority, deadline, now)
    assert isinstance(place, Ticket), place
    return place


def served(admission: Admission, running: Ticket, now: float = NOW) -> list[Ticket]:
    """Return who gets the permits, one after the other, until nobody waits."""
    order: list[Ticket] = []
    while admitted := admission.leave(running, now):
        [running] = admitted
        order.append(running)
    return order


def seasoned(held_s: float, in_flight: int, queue: int = 1000) -> Admission:
    """Return an admission that knows that permits are held so long, with all of them out."""
    admission = Admission(AdmissionPolicy(in_flight, queue))
    for _ in range(20):
        admission.leave(enters(admission, "past", now=NOW - held_s), NOW)
    for _ in range(in_flight):
        enters(admission, "busy")
    return admission


def test_permits_are_given_until_none_is_left() -> None:
    """Who comes while a permit is free has it at once; the next one waits for it."""
    admission, [first] = full()
    second = enters(admission)
    assert (first.state, second.state) == (State.ADMITTED, State.QUEUED)
    assert admission.leave(first, NOW + 1) == [second]
    assert (second.state, second.admitted_at) == (State.ADMITTED, NOW + 1)
    assert admission.leave(second, NOW + 2) == []
    assert admission.in_flight == 0


def test_a_permit_is_given_back_once() -> None:
    """Giving it back again, or without having it, is a bug and told as one."""
    admission, [ticket] = full()
    waiter = enters(admission)
    with pytest.raises(ValueError, match="once"):
        admission.leave(waiter, NOW)
    admission.leave(ticket, NOW)
    with pytest.raises(ValueError, match="once"):
        admission.leave(ticket, NOW)
    assert admission.in_flight == 1


def test_interactive_calls_go_before_batch_ones() -> None:
    """However early a batch call came, and however near its deadline is."""
    admission, [running] = full()
    batch = enters(admission, priority=BATCH, deadline=NOW + 1)
    interactive = enters(admission)
    assert served(admission, running) == [interactive, batch]


def test_a_batch_call_that_has_waited_counts_as_interactive() -> None:
    """From then on its deadline says when it is its turn, as if it had always been so."""
    admission, [running] = full(batch_max_wait_s=30)
    batch = enters(admission, priority=BATCH, deadline=NOW + 500)
    enters(admission, deadline=NOW + 400)
    enters(admission, deadline=NOW + 600)
    [running] = admission.leave(running, NOW + 29)
    assert running is not batch
    assert admission.leave(running, NOW + 30) == [batch]


def test_the_earliest_deadline_of_a_tenant_goes_first() -> None:
    """Ties are served in the order of arrival."""
    admission, [running] = full()
    late = enters(admission, deadline=NOW + 30)
    soon = enters(admission, deadline=NOW + 10)
    also_late = enters(admission, deadline=NOW + 30)
    assert served(admission, running) == [soon, late, also_late]


def test_the_tenant_with_the_fewest_permits_goes_first() -> None:
    """Even if the other's call came first and has the nearer deadline."""
    admission, [running, *_] = full(3, tenant="a")
    enters(admission, "a", deadline=NOW + 1)
    other = enters(admission, "b")
    assert admission.leave(running, NOW) == [other]


def test_tenants_with_as_many_permits_take_turns() -> None:
    """The one whose permits changed longest ago is next."""
    admission, [running] = full()
    calls = [enters(admission, tenant) for tenant in "aabbc"]
    names = [ticket.tenant.name for ticket in served(admission, running)]
    assert "".join(names) == "abcab"
    assert {t.state for t in calls} == {State.LEFT}


def test_a_flood_delays_others_by_one_turn() -> None:
    """With 1,000 calls of one tenant waiting, another's single call is served next."""
    admission, [running] = full(queue=2000, tenant="a")
    for _ in range(1000):
        enters(admission, "a", deadline=NOW + 1)
    single = enters(admission, "b")
    assert admission.leave(running, NOW) == [single]


def test_a_full_queue_refuses() -> None:
    """With the time after which to come again; and without a queue nobody ever waits."""
    for queue in (0, 1):
        admission, _ = full(queue=queue)
        for _ in range(queue):
            enters(admission)
        refusal = admission.enter("a", INTERACTIVE, LATE, NOW)
        assert refusal == Refusal(Why.QUEUE, 1.0)
        assert admission.status()["refused"] == {"queue": 1, "deadline": 0, "displaced": 0}


def test_a_newcomer_displaces_the_last_of_the_largest_crowd() -> None:
    """It is the one with the latest deadline that goes; and it is told when to come again."""
    admission, _ = full(queue=4)
    enters(admission, "b")
    enters(admission, "a", deadline=NOW + 10)
    last = enters(admission, "a", deadline=NOW + 30)
    enters(admission, "a", deadline=NOW + 20)
    place = admission.enter("c", INTERACTIVE, LATE, NOW)
    assert isinstance(place, Displacement)
    assert (place.displaced, place.refusal) == (last, Refusal(Why.DISPLACED, 1.0))
    assert (last.state, place.ticket.state) == (State.LEFT, State.QUEUED)


def test_displacing_ends_where_crowds_are_even() -> None:
    """Two tenants share a full queue evenly, and from then on neither takes from the other."""
    admission, _ = full(queue=6)
    for _ in range(6):
        enters(admission, "a")
    places = [admission.enter("b", INTERACTIVE, LATE, NOW) for _ in range(4)]
    assert [type(place) for place in places] == [*[Displacement] * 3, Refusal]
    assert isinstance(admission.enter("a", INTERACTIVE, LATE, NOW), Refusal)


@pytest.mark.parametrize(
    ("waiting", "newcomer", "displaced"),
    [
        ([("a", BATCH), ("a", BATCH), ("b", INTERACTIVE)], ("c", INTERACTIVE), ("a", BATCH)),
        ([("a", INTERACTIVE)] * 3 + [("b", BATCH)] * 2, ("c", INTERACTIVE), ("b", BATCH)),
        ([("a", INTERACTIVE)] * 3 + [("b", BATCH)], ("c", INTERACTIVE), ("a", INTERACTIVE)),
        ([("a", INTERACTIVE)] * 3 + [("b", BATCH)] * 2, ("c", BATCH), ("b", BATCH)),
        ([("a", INTERACTIVE)] * 3, ("c", BATCH), None),
        ([("a", BATCH)], ("a", INTERACTIVE), ("a", BATCH)),
        ([("a", BATCH)], ("a", BATCH), None),
        ([("a", INTERACTIVE)] * 3 + [("b", BATCH)], ("a", INTERACTIVE), None),
    ],
)
def test_batch_calls_make_room_first(
    waiting: list[tuple[str, Priority]],
    newcomer: tuple[str, Priority],
    displaced: tuple[str, Priority] | None,
) -> None:
    """A batch call displaces no interactive one, and a flood not even another's batch call."""
    admission, _ = full(queue=len(waiting))
    for tenant, priority in waiting:
        enters(admission, tenant, priority)
    place = admission.enter(*newcomer, LATE, NOW)
    if displaced is None:
        assert isinstance(place, Refusal)
    else:
        assert isinstance(place, Displacement)
        who = place.displaced
        assert (who.tenant.name, INTERACTIVE if who.urgent else BATCH) == displaced


def test_a_deadline_that_cannot_be_met_is_refused_at_once() -> None:
    """Ten calls ahead, a permit back every 0.5 s: who has less than 5 s needn't wait."""
    admission = seasoned(held_s=1.0, in_flight=2)
    for _ in range(10):
        enters(admission, deadline=NOW + 5.5)
    refusal = admission.enter("a", INTERACTIVE, NOW + 5.6, NOW + 1.0)
    assert refusal == Refusal(Why.DEADLINE, 5.5)
    enters(admission, deadline=NOW + 6.1, now=NOW + 1.0)


def test_whose_turn_comes_sooner_is_let_in() -> None:
    """Others' floods, later deadlines and batch calls don't count against a call."""
    admission = seasoned(held_s=1.0, in_flight=1)
    for _ in range(100):
        enters(admission, "a", deadline=NOW + 500)
        enters(admission, "a", BATCH, deadline=NOW + 500)
    enters(admission, "a", deadline=NOW + 1.1)
    enters(admission, "b", deadline=NOW + 1.1)
    assert isinstance(admission.enter("b", BATCH, NOW + 50, NOW), Refusal)


def test_every_tenant_whose_turn_is_before_counts_once() -> None:
    """Thirty tenants wait, a permit back each second: a new tenant waits for 30 s."""
    admission = seasoned(held_s=1.0, in_flight=1)
    for number in range(30):
        enters(admission, f"t{number}")
    assert isinstance(admission.enter("a", INTERACTIVE, NOW + 29, NOW), Refusal)
    enters(admission, "a", deadline=NOW + 31)


def test_no_wait_is_estimated_before_some_permits_came_back() -> None:
    """A daemon that has just started refuses nobody for a guess."""
    admission, [running] = full(queue=1000)
    for _ in range(500):
        enters(admission, deadline=NOW + 1)
    for _ in range(7):
        [running] = admission.leave(running, NOW + 0.9)
        enters(admission, deadline=NOW + 1, now=NOW + 0.9)


def test_one_forgotten_stream_is_no_trend() -> None:
    """A permit held for a day makes a mean of 1 s a tenth longer, not an hour."""
    admission = Admission(AdmissionPolicy())
    for held_s in [1.0] * 20 + [86_400.0]:
        admission.leave(enters(admission), NOW + held_s)
    assert admission.status()["held_s"] == pytest.approx(1.09, abs=0.01)


def test_a_mean_of_nothing_can_grow() -> None:
    """Calls that at first fail at once don't hide for ever how long others take."""
    admission = Admission(AdmissionPolicy())
    for held_s in [0.0] * 10 + [10.0] * 200:
        admission.leave(enters(admission, now=NOW), NOW + held_s)
    assert admission.status()["held_s"] == pytest.approx(10.0, rel=0.2)


def test_when_to_come_again_is_bounded() -> None:
    """Never at once, and never later than in a minute."""
    for held_s, expected in ((0.0001, 0.1), (600.0, 60.0)):
        refusal = seasoned(held_s, in_flight=1, queue=0).enter("a", INTERACTIVE, LATE, NOW)
        assert refusal == Refusal(Why.QUEUE, expected)


def test_who_withdraws_is_gone() -> None:
    """A waiter that left is never served; withdrawing again, or too late, does nothing."""
    admission, [running] = full()
    gone, stays = enters(admission, deadline=NOW + 5), enters(admission)
    admission.withdraw(gone)
    admission.withdraw(gone)
    assert admission.leave(running, NOW) == [stays]
    admission.withdraw(stays)
    assert stays.state is State.ADMITTED


def test_nothing_is_kept_of_tenants_who_left() -> None:
    """After 1,000 tenants that ran, waited, withdrew, were displaced or refused, none is known."""
    admission, running = full(2, queue=50)
    tickets: list[Ticket] = []
    for number in range(1000):
        place = admission.enter(f"t{number // 2}", [BATCH, INTERACTIVE][number % 2], LATE, NOW)
        if not isinstance(place, Refusal):
            tickets.append(place.ticket if isinstance(place, Displacement) else place)
    for ticket in tickets[::2]:
        admission.withdraw(ticket)
    while running:
        running += admission.leave(running.pop(), NOW)
    assert admission.status()["tenants"] == 0
    lanes = (admission._waiting.interactive, admission._waiting.batch)
    assert not admission._waiting._by_age
    assert not any(lane.of or lane.turns or lane.crowds._by_count for lane in lanes)


def test_a_limit_that_rises_admits_waiters() -> None:
    """An adaptive limit that grows by two gives out two permits there and then."""
    adaptive = AdaptivePolicy(min_limit=1, initial=1, increase=0.2)
    admission = Admission(AdmissionPolicy(10, adaptive=adaptive))
    running = enters(admission)
    waiters = [enters(admission) for _ in range(3)]
    assert admission.answered(running, NOW, 0.5) == waiters[:2]
    assert (admission.in_flight, admission.limit) == (3, 3)


def test_a_limit_that_falls_takes_no_permit_away() -> None:
    """Those who run go on; permits that come back aren't given out until the limit allows."""
    adaptive = AdaptivePolicy(min_limit=1, decrease=0.5)
    admission = Admission(AdmissionPolicy(4, adaptive=adaptive))
    running = [enters(admission) for _ in range(4)]
    waiter = enters(admission)
    assert admission.leave(running[0], NOW + 1, overloaded=True) == []
    assert (admission.in_flight, admission.limit) == (3, 2)
    assert admission.leave(running[1], NOW + 1) == []
    assert admission.leave(running[2], NOW + 1) == [waiter]


def test_a_fixed_limit_learns_nothing() -> None:
    """Without an adaptive policy neither answers nor failures move the limit."""
    admission, [running] = full()
    assert admission.answered(running, NOW, 99.0) == []
    admission.leave(running, NOW, overloaded=True)
    assert admission.limit == 1


def test_an_operator_sees_what_is_going_on() -> None:
    """Both as a line and as fields."""
    admission, _ = full(queue=2)
    enters(admission)
    enters(admission, "b", BATCH)
    admission.enter("c", BATCH, LATE, NOW)
    told = "<Admission 1 of 1 in flight, waiting 1 interactive and 1 batch, 1 refused>"
    assert repr(admission) == told
    assert admission.status() == {
        "in_flight": 1,
        "limit": 1,
        "interactive": 1,
        "batch": 1,
        "tenants": 3,
        "held_s": 0.0,
        "refused": {"queue": 1, "deadline": 0, "displaced": 0},
    }
