"""Decides which file goes to which decoding process, and which process is interrupted.

Files wait in two fair queues. A file that takes long while files of other requests wait is
interrupted once, and waits in the queue of slow files from then on. Slow files run alone in a
process, without another interruption. One process always works on them while any wait; if nothing
else waits, all but one do.

Files without a key (of a folder) are one request, so nothing is interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from plainfilm.decoding.fair_queue import FairQueue
from plainfilm.decoding.job import Job
from plainfilm.decoding.process import DecodingProcess, Ending

LONG = 0.5  # seconds after which a file is interrupted if files of other requests wait
_AHEAD = 4  # files that a process holds, if two requests have fewer
_SHARES = 4  # each request takes this part of what is left for a process, so that all end together


class Schedule:
    """The files that wait, and what each process holds; the pool calls it with its lock held."""

    def __init__(self, processes: Sequence[DecodingProcess], together: int) -> None:
        self._processes, self._together = processes, together
        self._files: FairQueue[Job] = FairQueue()
        self._slow: FairQueue[Job] = FairQueue()

    @property
    def waiting(self) -> int:
        """Return how many files wait or are being decoded."""
        held = sum(len(jobs) for process in self._processes for jobs in process.held)
        return len(self._files) + len(self._slow) + held

    def add(self, jobs: Iterable[Job]) -> None:
        """Add files behind all others of their requests."""
        for job in jobs:
            self._files.push(job, job.key)

    def remove(self, job: Job) -> None:
        """Forget a file if it waits."""
        self._files.remove(job, job.key) or self._slow.remove(job, job.key)

    def clear(self) -> list[Job]:
        """Remove all waiting files and return them."""
        return [*self._files.clear(), *self._slow.clear()]

    def dispatch(self) -> None:
        """Send what can be sent now, to the processes that hold least."""
        processes = [one for one in self._processes if one.is_up and not one.is_slow]
        slots = self._free_slots()
        while processes:
            process = min(processes, key=lambda one: sum(map(len, one.held)))
            if slots:
                slots -= 1
                processes.remove(process)
                if not process.held:  # else it ends what it holds, and is chosen again
                    process.send([self._slow.pop()])
            elif jobs := self.choose(process):
                process.send(jobs)
            else:
                processes.remove(process)

    def _free_slots(self) -> int:
        """Return how many processes may begin a slow file now."""
        if not self._slow:
            return 0
        up = [one for one in self._processes if one.is_up]
        # The last process is for other files, unless the rest cannot be started.
        most = len(up) - 1 or int(all(one.is_up or one.failures for one in self._processes))
        if self._files:
            most = min(most, 1)
        return max(0, min(most - sum(one.is_slow for one in up), len(self._slow)))

    def choose(self, process: DecodingProcess) -> list[Job]:
        """Take the files that can be sent to a process now; none of them is known to be slow."""
        if not self._files:
            return []
        slow = bool(self._slow) or any(one.is_slow for one in self._processes)
        capacity, held = process.capacity // 2, [job for jobs in process.held for job in jobs]
        if held:
            # While there are slow files, others may wait at the wrong process.
            if slow or (len(held) >= _AHEAD and len(process.held) > 1):
                return []
            # More than fits into its pipe could make it and us wait for each other to read. A
            # large file has none behind it: another process may be free sooner.
            capacity = process.capacity - sum(job.size for job in held)
        share = len(self._files) // (_SHARES * len(self._processes))
        most = 1 if slow else max(1, min(self._together, share))
        jobs: list[Job] = []
        while self._files and len(jobs) < most:
            job = self._files.peek(newest=slow)
            if not job.cancelled:
                if job.size > capacity and (held or jobs):
                    break
                if jobs and not job.can_follow(jobs[0]):
                    break
                jobs.append(job)
                capacity -= job.size
            self._files.pop(newest=slow)
        return jobs

    def interrupt(self, now: float) -> None:
        """Interrupt the processes that decode for long while files of other requests wait."""
        for process in self._processes:
            if not process.is_up or not process.held or now - process.began < LONG:
                continue
            jobs = [job for request in process.held for job in request]
            if all(job.cancelled for job in process.held[0]):
                process.interrupt()
            elif not process.is_slow and self._others_wait(jobs):
                up = [one for one in self._processes if one.is_up]
                if len(jobs) == 1 and sum(one.is_slow for one in up) < len(up) - 1:
                    jobs[0].is_slow = True  # it goes on: the other processes are enough
                elif len(up) > 1:
                    process.interrupt()

    def _others_wait(self, held: Sequence[Job]) -> bool:
        """Return whether a file of another request waits than the one that is being decoded."""
        keys = (*(job.key for job in held), *self._files.keys())
        return any(key != held[0].key for key in keys)

    def take_back(self, process: DecodingProcess, ending: Ending) -> list[Job]:
        """Let the files of a process that ended wait again; return those that are to blame."""
        held = [job for jobs in process.held for job in jobs if not job.cancelled]
        suspects = [job for job in process.held[0] if not job.cancelled] if process.held else []
        process.held.clear()
        guilty = []
        for job in suspects:
            job.is_alone = True
            if ending == "interrupted":
                job.is_slow = len(suspects) == 1
            elif ending != "closed":
                job.deaths += 1
                if job.deaths > 1 or (ending == "late" and len(suspects) == 1):
                    guilty.append(job)
        for job in reversed(held):
            if job not in guilty:
                (self._slow if job.is_slow else self._files).push_front(job, job.key)
        return guilty
