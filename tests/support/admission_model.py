"""A slow and obvious model of admission: one list of calls, scanned and sorted for every question.

It knows fixed limits only. Calls are named by the numbers in which they came.
"""

from dataclasses import dataclass

from sidecard.core.call import Priority
from sidecard.policy.admission import AdmissionPolicy, Why


@dataclass
class Entry:
    """One call that waits or runs."""

    number: int
    tenant: str
    due: float
    arrived: float
    urgent: bool
    running_since: float | None = None


class Model:
    """What `Admission` has to do."""

    def __init__(self, policy: AdmissionPolicy) -> None:
        self.policy = policy
        self.entries: list[Entry] = []
        self.held: list[float] = []
        self.refused: list[Why] = []
        self._events = 0
        self._changed: dict[str, int] = {}
        self._counted: dict[tuple[str, bool], int] = {}

    @property
    def running(self) -> list[Entry]:
        return [e for e in self.entries if e.running_since is not None]

    @property
    def waiting(self) -> list[Entry]:
        return [e for e in self.entries if e.running_since is None]

    @property
    def tenants(self) -> set[str]:
        return {e.tenant for e in self.entries}

    def enter(
        self, number: int, tenant: str, priority: Priority, deadline: float, now: float
    ) -> tuple[str, int | Why | None]:
        """Return what becomes of the call: admitted, queued (and who is displaced) or refused."""
        if tenant not in self.tenants:
            self._changed[tenant] = self._event()
        due = min(deadline, now + self.policy.batch_max_wait_s)
        new = Entry(number, tenant, due, now, priority is Priority.INTERACTIVE)
        if len(self.running) < self.policy.in_flight:
            self.entries.append(new)
            self._run(new, now)
            return "admitted", None
        self._age(now)
        if now + self._wait_s(self._ahead(new)) > deadline:
            return self._refuse(Why.DEADLINE)
        displaced = None
        if len(self.waiting) >= self.policy.queue:
            displaced = self._displaced_by(new)
            if displaced is None:
                return self._refuse(Why.QUEUE)
            self.refused.append(Why.DISPLACED)
            self._gone(displaced)
        self.entries.append(new)
        self._counted[tenant, new.urgent] = self._event()
        return "queued", displaced.number if displaced else None

    def leave(self, number: int, now: float) -> list[int]:
        """Return who is admitted for it."""
        [entry] = [e for e in self.running if e.number == number]
        assert entry.running_since is not None
        self.held.append(now - entry.running_since)
        self.entries.remove(entry)
        self._changed[entry.tenant] = self._event()
        if not self.waiting:
            return []
        self._age(now)
        chosen = min(self.waiting, key=self._turn)
        self._counted[chosen.tenant, chosen.urgent] = self._event()
        self._run(chosen, now)
        return [chosen.number]

    def withdraw(self, number: int) -> None:
        [entry] = [e for e in self.waiting if e.number == number]
        self._gone(entry)

    def _event(self) -> int:
        self._events += 1
        return self._events

    def _run(self, entry: Entry, now: float) -> None:
        entry.running_since = now
        self._changed[entry.tenant] = self._event()

    def _gone(self, entry: Entry) -> None:
        self.entries.remove(entry)
        self._counted[entry.tenant, entry.urgent] = self._event()

    def _refuse(self, why: Why) -> tuple[str, Why]:
        self.refused.append(why)
        return "refused", why

    def _runs(self, tenant: str) -> int:
        return len([e for e in self.running if e.tenant == tenant])

    def _waits(self, tenant: str, *lanes: bool) -> int:
        return len([e for e in self.waiting if e.tenant == tenant and e.urgent in lanes])

    def _turn(self, entry: Entry) -> tuple[object, ...]:
        """Interactive first; then few permits, long ago; then when it is due; then arrival."""
        tenant = entry.tenant
        fair = self._runs(tenant), self._changed[tenant]
        return not entry.urgent, fair, entry.due, entry.number

    def _age(self, now: float) -> None:
        """Of the batch calls the two that came first may be promoted."""
        batch = sorted([e for e in self.waiting if not e.urgent], key=lambda e: e.number)
        for entry in batch[:2]:
            if now - entry.arrived >= self.policy.batch_max_wait_s:
                self._counted[entry.tenant, False] = self._event()
                entry.urgent = True
                self._counted[entry.tenant, True] = self._event()

    def _ahead(self, new: Entry) -> int:
        lane = [e for e in self.waiting if e.urgent == new.urgent]
        own = [e for e in lane if e.tenant == new.tenant and self._turn(e) < self._turn(new)]
        others = {e.tenant for e in lane if e.tenant != new.tenant}
        mine = self._runs(new.tenant), self._changed[new.tenant]
        before = [t for t in others if (self._runs(t), self._changed[t]) < mine]
        above = [] if new.urgent else [e for e in self.waiting if e.urgent]
        return len(own) + len(before) + len(above)

    def _wait_s(self, ahead: int) -> float:
        """The mean of the first eight, then 1/32 of each, cut at four times the mean."""
        if len(self.held) < 8:
            return 0.0
        mean = sum(self.held[:8]) / 8
        for held_s in self.held[8:]:
            mean += (min(held_s, max(4 * mean, 0.1)) - mean) / 32
        return ahead * mean / len(self.running)

    def _displaced_by(self, new: Entry) -> Entry | None:
        for urgent in (False, True) if new.urgent else (False,):
            lane = [e for e in self.waiting if e.urgent == urgent]
            if not lane or not self.policy.queue:
                continue
            crowd = min(
                {e.tenant for e in lane},
                key=lambda t: (-self._waits(t, urgent), self._counted[t, urgent]),
            )
            own = [e for e in lane if e.tenant == new.tenant]
            if self._waits(crowd, urgent) > self._waits(new.tenant, False, True) + 1:  # noqa: FBT003
                return max([e for e in lane if e.tenant == crowd], key=self._turn)
            if new.urgent and not urgent and own:
                return max(own, key=self._turn)
        return None
