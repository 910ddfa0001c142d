"""Slots are shared fairly, and none is ever lost."""

import asyncio
import random
from contextlib import suppress

from app.api.adapters.fair_slots import FairSlots, Share


def test_a_small_user_does_not_wait_for_a_large_one() -> None:
    order: list[str] = []

    async def use(slots: FairSlots, share: Share, name: str) -> None:
        async with slots.slot(share):
            order.append(name)
            await asyncio.sleep(0)

    async def main() -> None:
        slots = FairSlots(1)
        with slots.share() as large, slots.share() as small:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(6):
                    tasks.create_task(use(slots, large, "large"))
                for _ in range(2):
                    tasks.create_task(use(slots, small, "small"))

    asyncio.run(main())
    assert order == ["large", "small", "large", "small", "large", "large", "large", "large"]


def test_a_user_alone_has_all_slots() -> None:
    async def main() -> int:
        slots, most, now = FairSlots(4), 0, 0

        async def use(share: Share) -> None:
            nonlocal most, now
            async with slots.slot(share):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1

        with slots.share() as alone:
            await asyncio.gather(*(use(alone) for _ in range(20)))
        return most

    assert asyncio.run(main()) == 4


def test_a_cancelled_user_gives_its_slots_back() -> None:
    async def hold(slots: FairSlots, share: Share, turns: int) -> None:
        async with slots.slot(share):
            for _ in range(turns):
                await asyncio.sleep(0)

    async def main(seed: int) -> None:
        chance, slots = random.Random(seed), FairSlots(3)
        with slots.share() as one, slots.share() as other:
            tasks = [
                asyncio.create_task(hold(slots, chance.choice([one, other]), chance.randrange(4)))
                for _ in range(30)
            ]
            for task in chance.sample(tasks, 20):
                await asyncio.sleep(0)
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            assert one.held == other.held == 0
            assert not one.waiting
            assert not other.waiting
        with slots.share() as later:
            async with asyncio.timeout(5), slots.slot(later), slots.slot(later), slots.slot(later):
                assert later.held == 3

    for seed in range(50):
        asyncio.run(main(seed))
