#!/usr/bin/python3
"""Writes captures of an invented Internet as sensors in many regions would see it, and the truth.

From a seed, bit for bit the same each time. README.md describes the world, the kinds of senders and the
files."""
import argparse
import datetime
import pathlib
import sys
import time

import forgers
import hops
import hosts
from world import World, read_sensors

DEMO = {"model": "additive", "days": 3, "packets": 22000, "spoofed": 0.3, "cluster": 310, "networks": 0.3}
CLUSTER = 0.01      # of the genuine sources


def simulate(folder: pathlib.Path, options: argparse.Namespace) -> World:
    world = World(options.seed, options.model, read_sensors(options.sensors), options.start, options.days, options.zone,
                  options.networks)
    # Packets a source are known on average only; --packets is met within some percent.
    share = options.spoofed
    cluster = options.cluster
    budget = options.packets
    if cluster is None:
        cluster = round(CLUSTER * budget / 18)
    budget = max(0, budget - cluster * len(world.with_v4) * 0.9)
    sources = budget / ((1 - share) * hosts.mean_packets() + share * forgers.mean_packets())
    machines = hosts.population(world, round(sources * (1 - share)), cluster)
    campaigns = forgers.campaigns(world, round(sources * share))
    folder.mkdir(parents=True, exist_ok=True)
    for day, date in enumerate(world.dates):
        world.begin_day(day)
        hosts.act(world, machines)
        forgers.act(world, campaigns)
        suffix = f"-{date:%Y%m%d}" if options.days > 1 and not options.whole else ""
        world.write_day(folder, suffix, options.whole and day > 0)
    world.write_books(folder)
    return world


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 0.9:
        raise ValueError
    return value


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the files; made where absent")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", choices=sorted(hops.MODELS), help="of distances (default: additive)")
    parser.add_argument("--days", type=int, help="(default: 1)")
    parser.add_argument("--packets", type=int, help="a day, about (default: 100000)")
    parser.add_argument("--spoofed", type=share, help="share of sources that are forged (default: 0.25)")
    parser.add_argument("--sensors", type=pathlib.Path, metavar="FILE",
                        help="CSV sensor_id,region,address or name,region,addresses (default: ten regions, 15 sensors)")
    parser.add_argument("--start", type=datetime.date.fromisoformat, metavar="DATE",
                        help="first day (default: 2026-06-01)")
    parser.add_argument("--zone", default="UTC", help="where days begin at midnight (default: UTC)")
    parser.add_argument("--whole", action="store_true", help="one capture a sensor, not one a day")
    parser.add_argument("--cluster", type=int, help="servers of one hosting company with the same program (default: 1 %%)")
    parser.add_argument("--networks", type=float, help="networks, as a share of the usual 370 (default: 1)")
    parser.add_argument("--demo", action="store_true",
                        help="what the quickstart shows: three days that end yesterday, in one capture a sensor")
    options = parser.parse_args(argv)
    preset = {"model": "additive", "days": 1, "packets": 100000, "spoofed": 0.25, "networks": 1.0, "start": datetime.date(2026, 6, 1)}
    if options.demo:
        preset.update((k, v) for k, v in DEMO.items() if k in preset)
        today = datetime.datetime.now(datetime.timezone.utc).date()
        preset["start"] = today - datetime.timedelta(days=options.days or preset["days"])
        options.whole = True
        if options.cluster is None:
            options.cluster = DEMO["cluster"]
    for name, value in preset.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.days < 1 or options.packets < 0:
        parser.error("--days and --packets must not be negative")
    return options


def main() -> None:
    options = arguments(sys.argv[1:])
    begin = time.monotonic()
    world = simulate(options.out, options)
    print(f"packets={world.total} sources={len(set().union(*world.counts))} days={options.days} model={options.model} "
          f"seed={options.seed} seconds={time.monotonic() - begin:.1f}")


if __name__ == "__main__":
    main()
