"""A test in which the guest crashed (its kernel, or BlueZ) is run once more, on another machine."""

import sys
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from guest import GuestCrashed

HERE = Path(__file__).parent


def _crashed(item: pytest.Item, call: pytest.CallInfo[None]) -> bool:
    return call.excinfo is not None and call.excinfo.errisinstance(GuestCrashed)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):  # type: ignore[no-untyped-def]
    report = yield
    report.guest_crashed = _crashed(item, call)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    if HERE not in item.path.parents:  # pytest asks this hook for the tests of all directories
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    if crashed := [report for report in reports if report.guest_crashed]:
        with item.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(
                f"\n{item.nodeid}: run again, {crashed[0].longreprtext[-1_500:]}", file=sys.stderr
            )
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
