"""Bluetooth LE: framing and policy are pure; the rest is asyncio over bleak and its bindings."""
