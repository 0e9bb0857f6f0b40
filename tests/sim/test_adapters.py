"""Radios of the simulator that run the product's own Bluetooth policy."""

from pathlib import Path

import pytest

from meshchat.errors import UsageError
from meshchat.net.ble.duty import Profile
from meshchat.net.ble.limits import SAVER_EVERY_S, SAVER_ON_S, STRANGERS_MAX
from meshchat.sim.describe import describe
from meshchat.sim.links import Radio
from meshchat.sim.result import summary
from meshchat.sim.runs import run_scenario
from meshchat.sim.scenario import load
from meshchat.sim.world import World

OFFICE = """
[scenario]
title = "Eight people in an office"
duration = "3h"
area = [120, 120]
[[people]]
name = "staff"
count = 8
move = { model = "random_waypoint", pause = ["2min", "20min"] }
[radios.ble]
range_m = 30
rate = 20_000
setup_s = 1
profile = "normal"
mtu = 5501
[[workload]]
name = "notes"
per_day = 40
size = [20, 200]
ttl = "1h"
"""


def world(profile: Profile = Profile.ALWAYS, people: int = 2, seed: int = 1) -> World:
    """People who are not in reach of each other yet."""
    made = World(seed=seed, radios={"ble": Radio(profile=profile, setup_s=0.3, mtu=5_501)})
    for _ in range(people):
        made.person()
    return made


def test_two_who_come_into_reach_chat_within_three_seconds() -> None:
    """At full duty, from out of reach to the text on the other screen."""
    for seed in range(10):
        made = world(seed=seed)
        one, other = made.people
        made.acquaint(one, other)
        one.say(other, "hello")
        made.run(60)
        made.meet(one, other, way="ble")
        made.run(3)
        assert other.texts(one) == ["hello"]


def test_each_listens_as_its_profile_says() -> None:
    """Alone: all the time, a tenth of it, or two minutes of every quarter of an hour."""
    shares = []
    for profile in (Profile.ALWAYS, Profile.NORMAL, Profile.SAVER):
        made = world(profile)
        made.run(4 * 3_600)
        adapter = made.people[0].adapters["ble"]
        shares.append(adapter.scan_s / adapter.on_s)
    assert shares[0] > 0.99
    assert 0.08 < shares[1] < 0.12
    assert 0.02 < shares[2] < SAVER_ON_S / SAVER_EVERY_S


def test_savers_meet_on_the_quarter_and_sleep_between() -> None:
    made = world(Profile.SAVER)
    one, other = made.people
    made.acquaint(one, other)
    one.clock_off(-2 * 3_600)  # hours do not matter
    made.run(400)
    made.meet(one, other, way="ble")
    one.say(other, "at the quarter")
    made.run(400)
    assert other.texts(one) == [] and not one.links
    made.run(150)
    assert other.texts(one) == ["at the quarter"]
    made.run(100)
    assert not one.links and not other.links


def test_a_crowd_keeps_few_links_and_all_get_the_message() -> None:
    """Thirty in one room: no full mesh, and yet everybody is reached."""
    made = World(seed=3, radios={"ble": Radio(profile=Profile.ALWAYS, mtu=5_501)}, fast=True)
    for _ in range(30):
        made.join(made.person(), "square")
    for one in made.people:
        for other in made.people[one.number + 1 :]:
            made.meet(one, other, way="ble")
    made.run(120)
    # Three more places are for newcomers, who show within half a minute who they are.
    assert all(1 <= len(p.links) <= STRANGERS_MAX + 4 for p in made.people)
    assert sum(len(p.links) for p in made.people) <= 30 * STRANGERS_MAX
    made.post(made.now, 0, "square", 50, 3_600)
    made.run(60)
    assert made.measure.delivered == 29


def test_a_device_that_is_off_does_not_listen() -> None:
    made = world()
    one, other = made.people
    made.meet(one, other, way="ble")
    made.run(10)
    assert one.links
    one.off()
    assert not other.links
    listened = one.adapters["ble"].scan_s
    made.run(100)
    assert one.adapters["ble"].scan_s == listened
    one.on()
    made.run(20)
    assert one.links


def test_the_same_seed_gives_the_same_trace() -> None:
    def trace(seed: int) -> str:
        made = world(Profile.NORMAL, 6, seed)
        for one in made.people:
            for other in made.people[one.number + 1 :]:
                made.meet(one, other, way="ble")
        made.run(2_000)
        return made.trace_hash

    assert trace(1) == trace(1) != trace(2)


def test_one_link_of_two_stays_where_a_lan_is_there_too() -> None:
    """The LAN is better; the policy tries less than once a minute beside it."""
    radios = {"lan": Radio(), "ble": Radio(profile=Profile.ALWAYS, mtu=5_501)}
    made = World(seed=1, radios=radios)
    one, other = made.person(), made.person()
    for way in radios:
        made.meet(one, other, way=way)
    made.run(3_600)
    assert [way.name for way in one.links.values()] == ["lan"]
    assert all(person.adapters["ble"].dials < 60 for person in (one, other))
    made.part(one, other, way="lan")
    made.run(150)
    assert [way.name for way in one.links.values()] == ["ble"]


def test_a_scenario_tells_what_finding_each_other_cost(tmp_path: Path) -> None:
    path = tmp_path / "office.toml"
    path.write_text(OFFICE)
    runs = {
        profile: run_scenario(str(path), fast=True, sets={"radios.ble.profile": profile})
        for profile in ("always", "normal", "saver")
    }
    always, normal, saver = (run["discovery"]["ble"] for run in runs.values())
    assert always["scan_duty"] > normal["scan_duty"] > saver["scan_duty"] > 0
    assert always["wakeups_per_h"] > normal["wakeups_per_h"] > saver["wakeups_per_h"] > 0
    assert always["first_link_p50_s"] < normal["first_link_p50_s"] < saver["first_link_p50_s"]
    energies = [run["energy_j"]["mean"] for run in runs.values()]
    assert energies == sorted(energies, reverse=True)
    assert runs["normal"]["delivery_ratio"] > 0.5
    told = summary(runs["normal"])
    assert "profile normal: listens" in told and "link after" in told
    assert all(len(line) <= 80 for line in told.splitlines())


def test_a_scenario_describes_its_profile(tmp_path: Path) -> None:
    path = tmp_path / "office.toml"
    path.write_text(OFFICE)
    assert "Bluetooth policy, profile normal" in " ".join(describe(load(str(path), {})).split())


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        ({"radios.ble.profile": "turbo"}, 'one of "always", "normal", "saver"'),
        ({"radios.ble.duty": 0.2}, 'is decided by "profile"'),
        ({"radios.ble.links_max": 3}, 'is decided by "profile"'),
    ],
)
def test_wrong_profiles_are_refused(tmp_path: Path, sets: dict[str, object], says: str) -> None:
    path = tmp_path / "office.toml"
    path.write_text(OFFICE)
    with pytest.raises(UsageError, match=says):
        load(str(path), sets)


def test_networks_do_not_use_a_radio_with_a_profile(tmp_path: Path) -> None:
    path = tmp_path / "office.toml"
    path.write_text(OFFICE + '\n[[networks]]\nname = "home"\nradio = "ble"\n')
    with pytest.raises(UsageError, match="networks need another"):
        load(str(path), {})
