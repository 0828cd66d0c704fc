"""Decides which file goes to which decoding process, and which process is interrupted.

Files wait in two fair queues: of files that are slow, and of others. A file that takes long while
files of other requests wait is slow. It goes on if there are enough other processes; otherwise it
is interrupted, once, and waits again. The other files of its request are taken to be slow too,
until one of them proves to be fast. A slow file runs alone in a process.

At least one process works on slow files while any wait, and at least one never does. One of the
others then takes only files that have just come, so that these need not wait until all older ones
have shown what they are. A pool may have a spare process, which rests while no files are slow.

A large file counts as slow from the start: an interruption would replace its process, which takes
longer than most small files.

Files without a key (of a folder) are one request, so nothing of this applies to them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from plainfilm.decoding.fair_queue import NO_KEY, FairQueue, Key
from plainfilm.decoding.job import Job
from plainfilm.decoding.process import DecodingProcess, Ending

LONG = 0.5  # seconds after which a file is interrupted if files of other requests wait
_LARGE = 2 << 20  # bytes of a file that may take so long: a radiograph of JPEG 2000 does
_NEW = 0.5  # seconds for which a file counts as one that has just come
_DEBT = 1.0  # seconds by which new files may be ahead of older ones
_AHEAD = 4  # files that a process holds, if two requests have fewer
_SHARES = 4  # each request takes this part of what is left for a process, so that all end together


class Schedule:
    """The files that wait, and what each process holds; the pool calls it with its lock held."""

    def __init__(self, processes: Sequence[DecodingProcess], together: int, spare: int = 0) -> None:
        self._processes, self._together = processes, together
        self._active = len(processes) - spare
        self._files: FairQueue[Job] = FairQueue()
        self._slow: FairQueue[Job] = FairQueue()
        self._lead = 0.0  # seconds spent on the newest requests more than on requests in turn

    @property
    def waiting(self) -> int:
        """Return how many files wait or are being decoded."""
        held = sum(len(jobs) for process in self._processes for jobs in process.held)
        return len(self._files) + len(self._slow) + held

    def add(self, jobs: Iterable[Job]) -> None:
        """Add files behind all others of their requests."""
        slow = {*self._slow.keys(), *(one.held[0][0].key for one in self._up() if one.is_slow)}
        now = time.monotonic()
        for job in jobs:
            large = job.size > _LARGE and job.key != NO_KEY
            job.is_slow, job.queued = large or job.key in slow, now
            self._queue(job).push(job, job.key)

    def remove(self, job: Job) -> None:
        """Forget a file if it waits."""
        self._queue(job).remove(job, job.key)

    def clear(self) -> list[Job]:
        """Remove all waiting files and return them."""
        return [*self._files.clear(), *self._slow.clear()]

    def _queue(self, job: Job) -> FairQueue[Job]:
        return self._slow if job.is_slow else self._files

    def _up(self) -> list[DecodingProcess]:
        return [one for one in self._processes if one.is_up]

    def dispatch(self) -> None:
        """Send what can be sent now, to the processes that hold least."""
        up = self._up()
        idle = [one for one in up if not one.held]
        for _ in range(min(self._free_slots(up), len(idle))):
            idle.pop().send([self._slow.pop()])
        processes = [one for one in up if one.held and not one.is_slow] + idle
        if not self._are_slow_about():
            self._lead, processes = 0.0, processes[: self._active]
        while processes:
            process = min(processes, key=lambda one: sum(map(len, one.held)))
            if jobs := self.choose(process):
                process.send(jobs)
            else:
                processes.remove(process)

    def _free_slots(self, up: list[DecodingProcess]) -> int:
        """Return how many processes may begin a slow file now."""
        if not self._slow:
            return 0
        # The last process is for other files, unless the rest cannot be started.
        most = len(up) - 1 or int(all(one.is_up or one.failures for one in self._processes))
        if self._files:
            most = min(most, 1)
        return max(0, min(most - sum(one.is_slow for one in up), len(self._slow)))

    def _are_slow_about(self) -> bool:
        return bool(self._slow) or any(one.is_slow for one in self._processes)

    def choose(self, process: DecodingProcess) -> list[Job]:
        """Take the files that can be sent to a process now; none of them is known to be slow."""
        if not self._files:
            return []
        if self._are_slow_about():
            return self._choose_one(process)
        capacity, held = process.capacity // 2, [job for jobs in process.held for job in jobs]
        if held:
            if len(held) >= _AHEAD and len(process.held) > 1:
                return []
            # More than fits into its pipe could make it and us wait for each other to read. A
            # large file has none behind it: another process may be free sooner.
            capacity = process.capacity - sum(job.size for job in held)
        most = max(1, min(self._together, len(self._files) // (_SHARES * self._active)))
        jobs: list[Job] = []
        while self._files and len(jobs) < most:
            job = self._files.peek()
            if not job.cancelled:
                if job.size > capacity and (held or jobs):
                    break
                if jobs and not job.can_follow(jobs[0]):
                    break
                jobs.append(job)
                capacity -= job.size
            self._files.pop()
        return jobs

    def _choose_one(self, process: DecodingProcess) -> list[Job]:
        """Take a file while there are slow ones: of the newest request, or of the next in turn.

        Both have half of the time. A file that waits for long does not get the last process.
        """
        if process.held:  # nothing ahead: the process may be interrupted
            return []
        newest = self._lead <= 0
        others = [one for one in self._processes if one is not process and not one.is_slow]
        others = [one for one in others if one.is_up or not one.failures]
        if others and not any(one.is_up and not one.held for one in others):
            is_new = time.monotonic() - self._files.peek(newest=True).queued < _NEW
            newest = newest or self._lead < _DEBT
            if newest and not is_new:
                return []
        job = self._files.pop(newest=newest)
        job.was_newest = newest
        return [job]

    def interrupt(self, now: float) -> None:
        """Let the files that take long while files of other requests wait be slow."""
        for process in self._up():
            if not process.held or now - process.began < LONG:
                continue
            up, jobs = self._up(), [job for request in process.held for job in request]
            if all(job.cancelled for job in process.held[0]):
                process.interrupt()
            elif not process.is_slow and self._others_wait(jobs):
                if len(jobs) == 1 and sum(one.is_slow for one in up) < self._most_in_place(up):
                    self._mark(jobs[0])
                elif len(up) > 1:
                    process.interrupt()

    def _most_in_place(self, up: list[DecodingProcess]) -> int:
        """Return how many processes can be left to slow files while others wait."""
        return min(max(1, self._active - 1), len(up) - 1)

    def _others_wait(self, held: Sequence[Job]) -> bool:
        """Return whether a file of another request waits than the one that is being decoded."""
        keys = (*(job.key for job in held), *self._files.keys())
        return any(key != held[0].key for key in keys)

    def _mark(self, job: Job) -> None:
        """Let a file be slow, and those of its request that wait."""
        job.is_slow = job.gave_way = True
        for other in self._files.take(job.key):
            other.is_slow = True
            self._slow.push(other, other.key)

    def _acquit(self, key: Key) -> None:
        """Let the waiting files of a request be fast, except those that were interrupted."""
        for job in self._slow.take(key):
            job.is_slow = job.gave_way
            self._queue(job).push(job, key)

    def release(self, process: DecodingProcess, count: int) -> list[Job]:
        """Return the oldest files of a process, which have their outcomes."""
        seconds = self._account(process)
        jobs = process.release(count)
        if jobs and jobs[0].is_slow and seconds < LONG:
            self._acquit(jobs[0].key)
        return jobs

    def _account(self, process: DecodingProcess) -> float:
        """Count the seconds that a process took, and return them."""
        seconds = time.monotonic() - process.began
        if process.held and not process.is_slow:
            self._lead += seconds if process.held[0][0].was_newest else -seconds
        return seconds

    def take_back(self, process: DecodingProcess, ending: Ending) -> list[Job]:
        """Let the files of a process that ended wait again; return those that are to blame."""
        held = [job for jobs in process.held for job in jobs if not job.cancelled]
        suspects = [job for job in process.held[0] if not job.cancelled] if process.held else []
        self._account(process)
        process.held.clear()
        guilty = []
        for job in suspects:
            job.is_alone = True
            if ending == "interrupted" and len(suspects) == 1:
                self._mark(job)
            elif ending in ("died", "late"):
                job.deaths += 1
                if job.deaths > 1 or (ending == "late" and len(suspects) == 1):
                    guilty.append(job)
        for job in reversed(held):
            if job not in guilty:
                self._queue(job).push_front(job, job.key)
        return guilty
