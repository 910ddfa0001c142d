"""The order of turns: earliest deadlines first, and no turn is ever lost."""

import asyncio

from app.api.search.admission import Admission


def test_the_earliest_deadline_goes_first() -> None:
    async def order() -> list[float]:
        admission, done = Admission(max_searches=10, max_turns=1), []

        async def search(deadline: float) -> None:
            with admission.coarse(deadline) as work:
                for _ in range(2):
                    async with work.turn():
                        await asyncio.sleep(0)
            done.append(deadline)

        await asyncio.gather(*(search(deadline) for deadline in (9.0, 3.0, 7.0, 1.0, 5.0)))
        return done

    # the first to come has its first turn, and waits for its second behind everybody
    assert asyncio.run(order()) == [1.0, 3.0, 5.0, 7.0, 9.0]


def test_a_cancelled_wait_passes_its_turn_on() -> None:
    async def through() -> bool:
        admission = Admission(max_searches=10, max_turns=1)
        await admission.take_turn(1)
        waiting = [asyncio.create_task(admission.take_turn(deadline)) for deadline in (2, 3, 4)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # before its turn comes
        await asyncio.sleep(0)
        admission.end_turn()
        waiting[1].cancel()  # in the moment in which it comes
        await asyncio.wait(waiting)
        return waiting[2].done() and not waiting[2].cancelled()

    assert asyncio.run(asyncio.wait_for(through(), 10))
