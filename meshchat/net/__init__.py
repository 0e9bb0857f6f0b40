"""The live world: asyncio, sockets, the control socket and the one runtime that drives a Node."""
