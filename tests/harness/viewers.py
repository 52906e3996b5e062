"""What viewers of regions may see, said once more in Python (collector/sql/VIEWERS.md), over a world's rows."""
import copy
import dataclasses

from harness.report_rankings import order
from harness.report_world import Count

# Of single sources, or of networks and organizations that may be few.
LISTS = {"spoof_verdict", "verdict_changes", "notification", "notification_excluded", "ack_organizations", "source"}
PACKETS = {"payload_samples"}
# Whose numbers are over all sensors, whichever are picked.
WHOLE = {"spoof_campaigns", "response_sources_called_spoofed"}


def values(filter: dict, key: str) -> list:
    value = filter.get(key, [])
    return value if isinstance(value, list) else [value]


@dataclasses.dataclass
class Viewer:
    """regions: None sees everything. sensors: {number: region} of all there are. heard: those that ever listened;
    counting: of them, those that are not disabled and do not take everything;
    placed: those that have a place in means all the time."""
    name: str
    regions: list | None
    sensors: dict
    heard: set
    counting: set
    placed: set

    def picked(self, filter: dict, home: str = "JP") -> list[int]:
        """Sensors that a filter picks, seen or not."""
        home = filter.get("home", home)
        return [sensor for sensor, region in self.sensors.items()
                if ("sensors" not in filter or sensor in values(filter, "sensors"))
                and ("sensor_region" not in filter or region in values(filter, "sensor_region"))
                and ("grp" not in filter or (region == home) == (filter["grp"] == "domestic"))]

    def own(self, sensor: int) -> bool:
        return self.regions is None or self.sensors[sensor] in self.regions

    def pool(self) -> tuple[set, bool]:
        """Sensors of others that are told together only, and whether they may be told at all."""
        if self.regions is None:
            return set(), True
        parts = {}
        for sensor, region in self.sensors.items():
            if not self.own(sensor):
                parts.setdefault(region, set()).add(sensor)
        size = {region: len(part & self.counting) for region, part in parts.items()}
        few = {region for region in parts if size[region] < 2}
        alone = any(parts[region] & self.heard for region in few) and sum(size[region] for region in few) < 2
        if alone and set(parts) - few:
            few.add(min(set(parts) - few, key=lambda region: (size[region], region)))
            alone = False
        return set().union(*(parts[region] for region in few)), not alone

    def label(self, sensor: int, own_sources: bool) -> tuple[str, str | None]:
        """(region, sensor) as rows name it."""
        region = self.sensors[sensor]
        if self.own(sensor):
            return region, f"s{sensor}" if self.regions is None else f"{region}-{sensor}"
        return "ZZ" if not own_sources and sensor in self.pool()[0] else region, None

    def own_sources(self, filter: dict) -> bool:
        regions = values(filter, "src_region")
        return self.regions is None or (bool(regions) and set(regions) <= set(self.regions))

    def means(self, picked: list) -> bool:
        """Whether means by address may be told of these sensors."""
        if all(map(self.own, picked)):
            return True
        pool, told = self.pool()
        others = {sensor for sensor in picked if not self.own(sensor)}
        return (not pool & others or (pool <= others and told)) and not others & self.heard - self.placed

    def refusal(self, function: str, filter: dict, picked: list, by: str | None = None) -> str | None:
        """What the error says where the viewer may not have this; picked: sensors that the filter picks."""
        if self.regions is None:
            return None
        if any(sensor not in self.sensors or not self.own(sensor) for sensor in values(filter, "sensors")):
            return "not shown one by one"
        at_home, of_home = all(map(self.own, picked)), self.own_sources(filter)
        probes = filter.get("role") == "probe" or "response" in values(filter, "exclude")
        pool, told = self.pool()
        whole = function in WHOLE
        if whole or not at_home:
            if not of_home:
                for key in ("sources", "networks", "network_group", "organization"):
                    if key in filter:
                        return f"filter: {key}: "
                if "asn" in filter and not probes:
                    return "filter: asn: .*victim"
            if whole and not told:
                return "would be left"
        if not at_home and not of_home:
            if pool & set(picked) and not told:
                return "would be left"
            if pool & set(picked) and not pool <= set(picked):
                return "told apart"
            if function in LISTS or (function == "top_networks" and by != "asn"):
                return "single sources are listed"
            if function == "top_networks" and not probes:
                return "not told by ASN"
        if function == "packets_per_sensor_day":
            domestic = {s for s in picked if self.sensors[s] == filter.get("home", "JP")}
            if not self.means(picked):
                return "means by address"
            if not at_home and domestic & pool and domestic & pool != pool:
                return "domestic would be"
        if function in PACKETS and not at_home:
            return "single packets"
        return None


def by_label(world, days, filter: dict, viewer: Viewer) -> Count:
    """Counts with the sensors' regions as the viewer is shown them."""
    picked = viewer.picked(filter)
    shown = copy.copy(world)
    shown.sensors = {s: viewer.label(s, viewer.own_sources(filter))[0] for s in world.sensors}
    count = Count(shown, days, filter)
    count.sensors = lambda: picked
    return count


def services(world, days, filter: dict, viewer: Viewer) -> dict:
    """{(region, sensor): [(service, packets)], first first} of each place that the viewer is shown."""
    count = Count(world, days, filter)
    label = {s: viewer.label(s, viewer.own_sources(filter)) for s in world.sensors}
    found = {label[sensor]: {} for sensor in count.sensors()}
    for (sensor, _, name, *_), packets in count.source_cells():
        place = found[label[sensor]]
        place[name] = place.get(name, 0) + packets
    return {place: sorted(rows.items(), key=lambda row: (-row[1], order(row[0]))) for place, rows in found.items()}
