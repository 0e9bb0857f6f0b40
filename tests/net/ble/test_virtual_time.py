"""The loop the virtual radios run in."""

import asyncio

from virtual_time import VirtualLoop


def test_a_timer_that_comes_a_hair_too_early_is_not_asked_for_ever() -> None:
    """Who says "not yet" to it, while others have something to do, sees the time come."""
    loop, due, asked = VirtualLoop(), 1_030.16, 0
    loop.now = due - 2e-12

    def ask(done: asyncio.Future[bool]) -> None:
        nonlocal asked
        asked += 1
        loop.call_soon(lambda: None)
        if loop.time() >= due or asked > 100:
            done.set_result(loop.time() >= due)
        else:
            loop.call_at(due, ask, done)

    async def main() -> bool:
        done = loop.create_future()
        loop.call_soon(lambda: None)
        loop.call_at(due, ask, done)
        return await done

    assert loop.run_until_complete(main())
    loop.close()
