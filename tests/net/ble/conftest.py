"""Bumble warns of every connection that ends; its emulation is not what is tested."""

import logging

import pytest


@pytest.fixture(autouse=True)
def _quiet_bumble() -> None:
    logging.getLogger("bumble").setLevel(logging.CRITICAL)
