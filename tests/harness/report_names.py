"""Organizations, research scanners and network groups of a world (report_world), and what the filter's keys on them
leave: by plain loops, longest match and dates by Python's own modules."""
import datetime
import ipaddress
import random

# Two have the same name: its contact changed.
ORGANIZATIONS = {1: ("Example K.K.", "abuse@example.jp"), 2: ("Example K.K.", "csirt@example.jp"),
                 3: ('"Other", Ltd.', None)}
GROUPS = {"low": ["0.0.0.0/3", "16.0.0.0/4", "16.0.0.0/8"], "part": ["64.0.0.0/3", "96.0.0.0/3", "2001:db8:0:2::/64"],
          "six": ["2001:db8::/46"], "all": ["0.0.0.0/0", "::/0"]}


def label(name, asn) -> str:
    return name or (f"AS{asn}" if asn else "not known")


class Names:
    def __init__(self, world, seed: int):
        rnd = random.Random(f"{seed} names")
        # Who holds an address changes in the middle: of what was rolled up before, it stays.
        self.by_day = {}
        for src in world.sources:
            first, second = rnd.choice([1, 1, 2, 3, None, None]), rnd.choice([1, 2, 3, None])
            for i, day in enumerate(world.days):
                self.by_day[src, day] = first if i < 2 else second
        day = world.days
        self.scanners = [("0.0.0.0/4", None, None), ("128.0.0.0/3", day[1], None), ("176.0.0.0/4", None, day[1]),
                         ("176.0.0.0/5", day[3], day[3]), ("208.0.0.0/4", day[3] + datetime.timedelta(days=1), None),
                         ("2001:db8:0:4::/63", day[2], day[2]), ("2001:db8:0:1::/64", None, None)]
        self.scanners += [(src, None, day[0]) for src in world.sources[:3]]
        self.scanners += [(world.sources[-4], day[0], day[3])]

    def name(self, src: str, day) -> str | None:
        number = self.by_day[src, day]
        return ORGANIZATIONS[number][0] if number else None

    def scans(self, src: str, day) -> bool:
        return any(inside(src, net) and (start or day) <= day <= (end or day) for net, start, end in self.scanners)

    def keeps(self, filter: dict, src: str | None, day, asn) -> bool:
        """Whether a row passes the keys organization, network_group and exclude scanner_org."""
        def values(key: str) -> list:
            return filter[key] if isinstance(filter[key], list) else [filter[key]]
        if src is None:
            return "organization" not in filter and "network_group" not in filter
        if "organization" in filter:
            shown = label(self.name(src, day), asn)
            if shown == "not known" or shown not in values("organization"):
                return False
        if "network_group" in filter and not any(inside(src, net) for g in values("network_group") for net in GROUPS[g]):
            return False
        return not ("exclude" in filter and "scanner_org" in values("exclude") and self.scans(src, day))

    def store(self, c) -> None:
        for number, (name, contact) in ORGANIZATIONS.items():
            c.execute("INSERT INTO hirundo.organization VALUES (%s, %s, %s, 1)", (number, name, contact))
        for i, (net, start, end) in enumerate(self.scanners):
            c.execute("INSERT INTO hirundo.scanner VALUES (%s, %s, 'Survey', NULL, %s, %s)", (i, net, start, end))
        for name, nets in GROUPS.items():
            for net in nets:
                c.execute("INSERT INTO hirundo.network_group VALUES (%s, %s)", (name, net))


def inside(src: str, net: str) -> bool:
    address, network = ipaddress.ip_address(src), ipaddress.ip_network(net)
    return address.version == network.version and address in network
