"""The pure heart: no asyncio, sockets, clock, randomness or threads, live and simulated alike."""
