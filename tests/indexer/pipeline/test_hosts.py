"""Turns at hosts: one that answers is asked by many threads, one that does not by none."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from indexer.pipeline.hosts import Hosts
from models.datasets.remote import HostUnreachable


def test_a_host_that_answers_is_asked_by_more_and_more_threads_up_to_a_limit() -> None:
    hosts = Hosts(at_once=3)
    inside = most = 0
    lock = threading.Lock()
    started = threading.Barrier(3)

    def read(number: int) -> None:
        nonlocal inside, most
        with hosts.turn("host"):
            with lock:
                inside += 1
                most = max(most, inside)
            if number in (3, 4, 5):  # three at once, or this waits in vain
                started.wait(timeout=20)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(1) as alone:
        list(alone.map(read, range(3)))
    with ThreadPoolExecutor(8) as many:
        list(many.map(read, range(3, 40)))
    assert most == 3


@pytest.mark.parametrize("failure", [TimeoutError, HostUnreachable])
def test_a_host_that_fails_is_asked_by_one_thread_and_then_not_at_all(
    failure: type[OSError],
) -> None:
    hosts = Hosts(at_once=16)
    asked = []

    def read(number: int) -> str:
        try:
            with hosts.turn("host"):
                asked.append(number)
                raise failure("nothing")
        except OSError as error:
            return str(error)

    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(read, range(200)))
    assert len(asked) == 5
    assert said.count("host did not answer 5 times in a row and was not asked again") == 195
    with hosts.turn("another"):
        pass


def test_a_host_that_says_no_has_answered() -> None:
    hosts = Hosts(at_once=2)
    for _ in range(20):
        with pytest.raises(FileNotFoundError), hosts.turn("host"):
            raise FileNotFoundError("404")
    with pytest.raises(ZeroDivisionError), hosts.turn(None):
        raise ZeroDivisionError
