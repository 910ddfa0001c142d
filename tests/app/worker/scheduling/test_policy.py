"""Which job is next, and what it does next: the rules, without threads."""

import math
from concurrent.futures import Future

from app.worker.inference.images import CandidateImage
from app.worker.inference.model import Query
from app.worker.scheduling.jobs import ComposeJob, RerankJob
from app.worker.scheduling.policy import MAX_BATCH_WAIT_S, Schedule
from models.contracts.rerank import Candidate
from tests.app.worker.fake_reranker import TOKENS, FakeImage, FakePrefix

CHUNK = 2


def query(name: str = "redder", deadline: float = 100.0) -> Query:
    return Query(name, FakeImage(0), "hash", name, deadline)


class Decoding:
    """Candidates whose decoding the test ends, one by one."""

    def __init__(self, job: RerankJob) -> None:
        self.futures: dict[str, Future[CandidateImage]] = {}
        self.candidates: dict[str, Candidate] = {}
        job.fetch_ahead(100, self._fetch, lambda _: None)

    def _fetch(self, candidate: Candidate) -> "Future[CandidateImage]":
        self.candidates[candidate.image_id] = candidate
        return self.futures.setdefault(candidate.image_id, Future())

    def done(self, *image_ids: str) -> None:
        for image_id in image_ids:
            image = CandidateImage(self.candidates[image_id], prepared=FakeImage(0))
            self.futures[image_id].set_result(image)


def rerank(deadline: float = 100.0, images: str = "abc") -> tuple[RerankJob, Decoding]:
    """A prefilled query, ready since second 0, of which nothing is decoded yet."""
    candidates = [
        Candidate(image_id=image_id, content_hash=image_id, rerank_px=448) for image_id in images
    ]
    job = RerankJob(query(deadline=deadline), "target", candidates, "fake-1", lambda _: None)
    job.prefix, job.ready_since = FakePrefix("redder"), 0.0
    return job, Decoding(job)


def schedule(*jobs: RerankJob | ComposeJob, tokens: int = 1000) -> Schedule:
    made = Schedule(CHUNK, tokens)
    for job in jobs:
        made.add(job)
    return made


def test_of_those_with_as_many_steps_the_earliest_deadline_is_next() -> None:
    (late, of_late), (soon, of_soon) = rerank(deadline=9), rerank(deadline=5)
    of_late.done("a", "b", "c")
    of_soon.done("a", "b", "c")
    made = schedule(late, soon)
    assert made.next_job(now=0) is soon
    soon.steps_run += 1
    assert made.next_job(now=0) is late


def test_a_newcomer_joins_the_round_instead_of_catching_up() -> None:
    old, _ = rerank()
    made = schedule(old)
    old.steps_run = 7
    newcomer, _ = rerank()
    made.add(newcomer)
    assert newcomer.steps_run == 7


def test_compose_jobs_go_first() -> None:
    job, decoding = rerank(deadline=1)
    decoding.done("a", "b", "c")
    compose = ComposeJob(query(deadline=50), lambda _: None)
    assert schedule(job, compose).next_job(now=0) is compose


def test_a_part_of_a_chunk_goes_only_after_a_moment() -> None:
    job, decoding = rerank()
    made = schedule(job)
    assert made.next_ready_at() == math.inf
    decoding.done("b")
    assert made.next_job(now=0) is None
    assert made.next_ready_at() == MAX_BATCH_WAIT_S
    assert made.next_job(now=MAX_BATCH_WAIT_S) is job


def test_a_candidate_still_in_decoding_is_skipped_and_taken_later() -> None:
    job, decoding = rerank()
    decoding.done("b", "c")
    assert [image.candidate.image_id for image in job.pop_ready(CHUNK)[0]] == ["b", "c"]
    decoding.done("a")
    assert [image.candidate.image_id for image in job.pop_ready(CHUNK)[0]] == ["a"]
    assert job.candidates_left == 0


def test_candidates_are_taken_in_the_order_given() -> None:
    job, decoding = rerank()
    decoding.done("c", "b", "a")
    assert [image.candidate.image_id for image in job.pop_ready(CHUNK)[0]] == ["a", "b"]


def test_the_queue_counts_visual_tokens() -> None:
    job, _ = rerank()  # a reference and three candidates
    made = schedule(job, tokens=6 * TOKENS)
    assert made.queued_visual_tokens == 4 * TOKENS
    assert made.has_room(2 * TOKENS)
    assert not made.has_room(3 * TOKENS)
    made.done(job, images=1, seconds=0.1)
    assert made.has_room(3 * TOKENS)
    made.remove(job)
    assert made.queued_visual_tokens == 0
    assert made.has_room(10**9)


def test_when_to_come_back_is_what_is_queued_by_the_speed_of_late() -> None:
    job, _ = rerank(images="abcdefghi")
    made = schedule(job)
    assert made.retry_after_s() == 1  # nothing is known yet
    made.done(job, images=1, seconds=2.0)
    assert made.retry_after_s() == 18
