"""Rollups and verdicts as rows, made from a seed, and the same counts straight from these rows.

A world of few sensors, days and sources in which everything occurs that reports tell apart. `Count` answers
what a report should, by plain loops over the rows: it shares nothing with the SQL."""
import datetime
import ipaddress
import random
import zoneinfo
from collections import defaultdict

from harness.report_names import Names
from harness.rollups import add_up

UTC = datetime.timezone.utc
RESPONSE = 0b11111 << 10
TRAITS = {"truncated": 0, "bogon_source": 4, "zmap": 5, "mirai": 7, "land": 8, "backscatter_synack": 10,
          "backscatter_rst": 11}
SENSORS = {1: "JP", 2: "JP", 3: "AU", 4: "TW", 5: "MY"}
SILENT = 5  # never listens
CLASSES = (32, 64, 128, 255)


def initial_ttl(ttl: int) -> int:
    return 32 if ttl <= 26 else 64 if ttl <= 64 else 128 if ttl <= 128 else 255


def service(protocol: int, port) -> str:
    if protocol in (6, 17):
        name = {6: "TCP", 17: "UDP"}[protocol]
        return f"{name}/frag" if port is None else f"{port}/{name}"
    return {1: "ICMP", 47: "GRE"}[protocol]


def signature(protocol: int, port, role: str) -> int:
    """Bits as hirundo.signature has them, for packets of one form a protocol."""
    if role == "response":
        return 1 << 40 | protocol << 32 | (18 << 24 if protocol == 6 else 0) | 7 << 16
    bits = protocol << 32 | 7 << 16
    if protocol == 6:
        bits = protocol << 32 | (1 << 41 | 7 << 16 if port is None else 2 << 24 | 5 << 20 | 2 << 16 | port)
    elif protocol == 17:
        bits |= 1 << 41 if port is None else port
    elif protocol == 1:
        bits |= 8
    return bits


def host(src: str):
    """What counts as one: an IPv4 address, an IPv6 /64. Not for None: who sent that is not known."""
    if src is None:
        return None
    address = ipaddress.ip_address(src)
    return src if address.version == 4 else int(address) >> 64 << 64


class World:
    """first: reporting day of its first packets; days: how many it has.
    Days: the first is settled, of the second rows came after it was final, the third was judged before its last rows
    came, the fourth is not judged. days, if given: these instead, which need not follow one another; what was said of
    the first four holds for them, the others are not judged either. sensors: {number: region}; SILENT never listens."""

    def __init__(self, seed: int, first: datetime.date, zone: str = "UTC", days=None, sensors=None):
        self.sensors = sensors or SENSORS
        self.listening = [number for number in self.sensors if number != SILENT]
        self.random = random.Random(seed)
        self.more = random.Random(f"more {seed}")  # its own, so that what it makes changes nothing of the rest
        self.zone = zone
        self.days = days or [first + datetime.timedelta(days=i) for i in range(4)]
        self.late = self.days[1]
        self.judged = self.days[:3]
        self.ttl = {}       # (sensor, day, src, signature, ttl) -> [packets, region, holder, asn]
        # (sensor, day, service, src or None, traits, initial TTL or None, kind of ACK or None) -> packets
        self.source = {}
        self.verdict = {}   # (day, src, track) -> row
        self.region, self.holder, self.asn = {None: None}, {None: None}, {None: None}
        self._sources()
        self.names = Names(self, seed)
        for day in self.days:
            for src in self.sources:
                if self.random.random() < 0.75:
                    self._traffic(day, src)
        for day in self.judged:
            self._judge(day)
        for src in self.random.sample(self.sources, 25):
            self._traffic(self.days[2], src)  # after the verdict
        for src in self.random.sample(self.sources, 25):
            self._traffic(self.late, src)  # after the final one
        for day in self.days:
            self._without_ttl(day)

    def _sources(self) -> None:
        rnd = self.random
        self.sources = [str(ipaddress.ip_address(rnd.getrandbits(32) | 1 << 24)) for _ in range(70)]
        for prefix in range(6):
            net = 0x20010DB8 << 96 | prefix << 64
            self.sources += [str(ipaddress.ip_address(net | rnd.getrandbits(60))) for _ in range(1 + prefix % 3)]
        self.bogons = ["10.1.2.3", "192.168.7.7", "fd00::9"]
        self.sources += self.bogons
        for src in self.sources:
            self.region[src] = rnd.choice(["JP", "CN", "US", None])
            # As address_range has it: of the ASN; of a registry; of an override, whatever that calls it.
            self.holder[src], self.asn[src] = rnd.choice([
                ("AS4713", 4713), ("AS64500", 64500), ("A9100000", None), (None, None), ("Example Ltd", 4713),
                ("AS4713", 64500)])

    def _traffic(self, day, src: str) -> None:
        rnd = self.random
        role = "response" if rnd.random() < 0.2 else "probe"
        for _ in range(rnd.choice([1, 1, 2, 4])):
            protocol, port = rnd.choice([(6, 23), (6, 22), (6, 0), (6, None), (17, 53), (17, 23), (17, None), (1, None),
                                         (47, None)])
            if role == "response" and (protocol == 47 or (protocol != 1 and port is None)):
                continue  # who answers by TCP or UDP has shown both ports
            initial = rnd.choice([64, 64, 64, 128, 255, 32])
            mask = 0
            if src in self.bogons:
                mask |= 1 << 4
            if role == "response":
                mask |= 1 << (10 if rnd.random() < 0.5 else 11)
            elif protocol == 6 and rnd.random() < 0.4:
                mask |= 1 << rnd.choice([5, 7])
            for sensor in rnd.sample(self.listening, rnd.choice([1, 2, 4])):
                ttl = max(1, initial - rnd.randrange(4, 20)) if initial > 32 else rnd.randrange(1, 27)
                packets = rnd.choice([1, 1, 2, 900])
                key = sensor, day, src, signature(protocol, port, role), ttl
                self.ttl.setdefault(key, [0, self.region[src], self.holder[src], self.asn[src]])[0] += packets
                for kind, part in self._ack_kinds(protocol, mask, packets):
                    key = sensor, day, service(protocol, port), src, mask, initial_ttl(ttl), kind
                    self.source[key] = self.source.get(key, 0) + part

    def _ack_kinds(self, protocol: int, mask: int, packets: int) -> list[tuple]:
        """(kind of ACK, packets): of probes and RSTs, some have the flag."""
        if protocol != 6:
            return [(None, packets)]
        if mask >> 10 & 1:
            return [("synack", packets)]
        part = self.more.choice([0, 0, packets // 2, packets])
        kind = "rstack" if mask >> 11 & 1 else "ack"
        return [(k, n) for k, n in ((kind, part), (None, packets - part)) if n]

    def _without_ttl(self, day) -> None:
        """What ttl_day leaves out: packets from the sensor's own address, whoever sent them, and those cut before the
        TTL."""
        rnd = self.more
        for sensor in rnd.sample(self.listening, 2):
            name = rnd.choice(["23/TCP", "7/UDP", "ICMP"])
            self.source[sensor, day, name, None, 1 << 8, rnd.choice([64, 255]), None] = rnd.choice([1, 40])
        for src in rnd.sample(self.sources, 2):
            mask = 1 | (1 << 4 if src in self.bogons else 0)
            self.source[rnd.choice(self.listening), day, "unknown", src, mask, None, None] = rnd.choice([1, 3])

    def _judge(self, day) -> None:
        rnd = self.random
        rows = defaultdict(list)
        for (sensor, when, src, sig, ttl), (packets, *_) in self.ttl.items():
            if when == day:
                rows[src].append((sensor, sig, ttl, packets))
        for src, seen in rows.items():
            classes = sorted({initial_ttl(ttl) for _, _, ttl, _ in seen})
            tracks = classes if len(classes) > 1 and rnd.random() < 0.7 and src not in self.bogons else [0]
            for track in tracks:
                mine = [row for row in seen if track in (0, initial_ttl(row[2]))]
                kind = "bogon" if src in self.bogons else "split" if track else rnd.choice(["fixed", "fixed", "random"])
                scored = kind == "bogon" or rnd.random() < 0.7
                score = round(rnd.uniform(-4, 4), 3) if scored else 0
                self.verdict[day, src, track] = {
                    "track": track, "kind": kind, "scored": scored, "score": score,
                    "packets": sum(row[3] for row in mine),
                    "verdict": "spoofed" if score <= -1 else "genuine" if score >= 0.5 else "undetermined",
                    "regions": len({self.sensors[row[0]] for row in mine}),
                    "source_regions": len({self.sensors[row[0]] for row in seen}), "sensors": len({row[0] for row in mine}),
                    "signature": max(mine, key=lambda row: row[3])[1], "region": self.region[src],
                    "holder": self.holder[src] or "net",
                    "nearest": rnd.choice(["CN", None]) if score <= -1 else None,
                    "campaign": "c1" if score <= -3 and kind != "bogon" else None,
                }

    # Into a database.

    def store(self, connection) -> None:
        c = connection
        c.execute("UPDATE hirundo.setting SET value = %s WHERE name = 'reporting_zone'", (self.zone,))
        for number, region in self.sensors.items():
            c.execute("INSERT INTO hirundo.sensor (sensor_id, name, urn, region, public_label) VALUES (%s, %s, %s, %s, 'x')",
                      (number, f"s{number}", f"urn:hirundo:sensor:s{number}", region))
        c.execute("INSERT INTO hirundo.enrichment_dataset (dataset_id, kind, name, source_date, checksum, ranges,"
                  " with_region, with_asn, address_ranges, forced) VALUES"
                  " (1, 'rir', 'delegated', '2026-01-02', '', 1, 1, 0, 1, false),"
                  " (2, 'overrides', 'mine', '2026-02-03', '', 1, 1, 0, 1, false)")
        self.names.store(c)
        make_months(c, self.days)
        at = {day: datetime.datetime.combine(day, datetime.time(12, 34, 56, 789), UTC) for day in self.days}
        with c.cursor() as cursor:
            with cursor.copy("COPY hirundo.ttl_day (sensor_id, day, src, signature, ttl, packets, first_at, last_at,"
                             " src_region, holder, src_asn, dataset_id, organization_id) FROM STDIN") as copy:
                for (sensor, day, src, sig, ttl), (packets, region, holder, asn) in self.ttl.items():
                    copy.write_row((sensor, day, src, sig, ttl, packets, at[day], at[day], region, holder, asn,
                                    1 if day == self.days[0] else 2, self.names.by_day[src, day]))
            with cursor.copy("COPY hirundo.source_day (sensor_id, day, service, src, traits, initial_ttl, ack_kind,"
                             " packets, first_at, last_at, src_region, src_asn, organization_id) FROM STDIN") as copy:
                for key, packets in self.source.items():
                    copy.write_row((*key, packets, at[key[1]], at[key[1]], self.region[key[3]], self.asn[key[3]],
                                    self.names.by_day.get((key[3], key[1]))))
            with cursor.copy("COPY hirundo.dataset_day (sensor_id, day, dataset_id) FROM STDIN") as copy:
                for key in sorted({key[:2] for key in self.source}):
                    copy.write_row((*key, 1 if key[1] == self.days[0] else 2))
            services = defaultdict(int)
            for (sensor, day, name, _, mask, _, _), packets in self.source.items():
                services[sensor, day, name, role_of(mask)] += packets
            with cursor.copy("COPY hirundo.service_day (sensor_id, day, service, role, packets) FROM STDIN") as copy:
                for key, packets in services.items():
                    copy.write_row((*key, packets))
            with cursor.copy("COPY hirundo.verdict (day, src, track, kind, src_region, holder, signature, verdict, score,"
                             " regions_seen, source_regions, sensors_seen, packets, log_claimed, prior,"
                             " common_offset, campaign, second_path, taught,"
                             " held, nearest_region, model_at) FROM STDIN") as copy:
                for (day, src, track), v in self.verdict.items():
                    copy.write_row((day, src, track, v["kind"], v["region"], v["holder"], v["signature"], v["verdict"],
                                    v["score"], v["regions"], v["source_regions"], v["sensors"],
                                    v["packets"], -9 if v["scored"] and v["kind"] != "bogon" else None, 0, 1.5,
                                    v["campaign"], False, True, False, v["nearest"], at[day]))
        for i, day in enumerate(self.judged):
            c.execute("INSERT INTO hirundo.hop_model VALUES (%s, %s, %s, %s, now(), %s, %s, 0.5, -1, 0.5, -1.5, -2, 1, -7,"
                      " -7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
                      (day, self.computed_at(day), self.computed_at(day), i < 2, at[day] if day == self.late else None,
                       [1] if i == 0 else [2]))
        c.execute("INSERT INTO hirundo.verdict_due VALUES (%s, 1), (%s, 2)", (self.days[2], self.days[3]))
        self._store_coverage(c)
        add_up(c)

    @staticmethod
    def computed_at(day) -> datetime.datetime:
        return datetime.datetime.combine(day + datetime.timedelta(days=1), datetime.time(3), UTC)

    def _store_coverage(self, c) -> None:
        """All but SILENT listened, but for an hour that 1 missed and a day that 3 did."""
        self.coverage = {}
        for number, day in enumerate(self.days):
            start = c.execute("SELECT %s::timestamp AT TIME ZONE %s", (day, self.zone)).fetchone()[0]
            for sensor in self.listening:
                for quarter in range(96):
                    if (sensor, number) == (3, 1) or (sensor, number, quarter // 4) == (1, 0, 5):
                        continue
                    bucket = (start + datetime.timedelta(minutes=15 * quarter)).astimezone(UTC)
                    quarter += 96 * number
                    self.coverage[sensor, bucket] = (900 - quarter % 7, quarter, quarter % 3)
        with c.cursor() as cursor, cursor.copy(
                "COPY hirundo.coverage (sensor_id, bucket, seconds, packets, lost) FROM STDIN") as copy:
            for (sensor, bucket), row in self.coverage.items():
                copy.write_row((sensor, bucket, *row))


def role_of(mask: int) -> str:
    return "response" if mask & RESPONSE else "probe"


def make_months(connection, days) -> None:
    for day in days:
        connection.execute("SELECT hirundo.ensure_rollup_month(%s)", (day,))


class Count:
    """The reports' numbers from a world's rows."""

    def __init__(self, world: World, days, filter: dict, home: str = "JP"):
        self.world, self.days, self.filter = world, days, dict(filter)
        self.home = self.filter.get("home", home)
        self.traits = defaultdict(int)
        for sensor, day, name, src, mask, *_ in world.source:
            role = role_of(mask)
            self.traits[sensor, day, src, role, name if role == "probe" else None] |= mask

    def _list(self, key: str):
        value = self.filter[key]
        return value if isinstance(value, list) else [value]

    def sensors(self) -> list[int]:
        f, found = self.filter, []
        for sensor, region in self.world.sensors.items():
            if (("sensors" not in f or sensor in self._list("sensors"))
                    and ("sensor_region" not in f or region in self._list("sensor_region"))
                    and ("grp" not in f or (region == self.home) == (f["grp"] == "domestic"))):
                found.append(sensor)
        return found

    def track(self, day, src: str, ttl: int):
        for track in (0, initial_ttl(ttl)):
            if (day, src, track) in self.world.verdict:
                return track, self.world.verdict[day, src, track]
        return None, None

    def cells(self):
        """(sensor, day, src, signature, ttl), packets of the rows that the filter leaves."""
        f, sensors = self.filter, self.sensors()
        for key, (packets, region, _, asn) in self.world.ttl.items():
            sensor, day, src, sig, ttl = key
            response, protocol = bool(sig >> 40 & 1), sig >> 32 & 255
            name = None  # a response's port is not kept
            if not response or protocol in (1, 47):
                name = service(protocol, None if sig >> 41 & 1 or protocol in (1, 47) else sig & 65535)
            role = "response" if response else "probe"
            exclude = self._list("exclude") if "exclude" in f else []
            address = ipaddress.ip_address(src)
            verdict = self.track(day, src, ttl)[1]
            if (day in self.days and sensor in sensors
                    and ("src_region" not in f or (region or "ZZ") in self._list("src_region"))
                    and ("asn" not in f or asn in self._list("asn"))
                    and ("networks" not in f or any(address in net for net in map(ipaddress.ip_network, self._list("networks"))
                                                    if net.version == address.version))
                    and ("sources" not in f or src in self._list("sources"))
                    and ("services" not in f or name in self._list("services"))
                    and (not f.get("ports_only") or (protocol in (6, 17) and not sig >> 41 & 1))
                    and ("traits" not in f or any(
                        self.traits[sensor, day, src, role, None if response else name] >> TRAITS[t] & 1
                        for t in self._list("traits")))
                    and f.get("role", role) == role
                    and self.world.names.keeps(f, src, day, asn)
                    and not ("response" in exclude and response)
                    and not ("bogon" in exclude and src in self.world.bogons)
                    and not ("spoofed" in exclude and verdict and verdict["verdict"] == "spoofed")):
                yield key, packets

    def source_cells(self):
        """(sensor, day, service, src, traits, initial TTL, kind of ACK), packets of the rows that the filter leaves."""
        f, sensors = self.filter, self.sensors()
        exclude = self._list("exclude") if "exclude" in f else []
        for key, packets in self.world.source.items():
            sensor, day, name, src, mask, initial, _ = key
            address = ipaddress.ip_address(src) if src else None
            within = lambda text: address is not None and address in ipaddress.ip_network(text)
            spoofed = src and any(
                self.world.verdict.get((day, src, track), {}).get("verdict") == "spoofed" for track in (0, initial))
            if (day in self.days and sensor in sensors
                    and ("src_region" not in f or (self.world.region[src] or "ZZ") in self._list("src_region"))
                    and ("asn" not in f or self.world.asn[src] in self._list("asn"))
                    and ("networks" not in f or any(map(within, self._list("networks"))))
                    and ("sources" not in f or src in self._list("sources"))
                    and ("services" not in f or name in self._list("services"))
                    and (not f.get("ports_only") or name[0].isdigit())
                    and ("traits" not in f or any(mask >> TRAITS[t] & 1 for t in self._list("traits")))
                    and f.get("role", role_of(mask)) == role_of(mask)
                    and not ("response" in exclude and role_of(mask) == "response")
                    and not ("bogon" in exclude and mask >> TRAITS["bogon_source"] & 1)
                    and self.world.names.keeps(f, src, day, self.world.asn[src])
                    and not ("spoofed" in exclude and spoofed)):
                yield key, packets

    def listened(self, sensor: int) -> float:
        """Seconds, over the days."""
        total = 0
        for (number, bucket), (seconds, _, _) in self.world.coverage.items():
            if number == sensor and self.day_of(bucket) in self.days:
                total += seconds
        return total

    def day_of(self, at) -> datetime.date:
        return at.astimezone(zoneinfo.ZoneInfo(self.world.zone)).date()

    def ttl_by_region(self) -> list[tuple]:
        """(region, initial, min, max, p5, p95, hops_min, hops_max, sources, packets)"""
        groups = defaultdict(list)
        for (sensor, day, src, sig, ttl), packets in self.cells():
            groups[self.world.sensors[sensor], initial_ttl(ttl)].append((ttl, src, packets))
            groups[None, None].append((ttl, src, packets))
        regions = sorted({self.world.sensors[sensor] for sensor in self.sensors()})
        result = []
        for region in [*regions, None]:
            classes = [c for c in CLASSES if (region, c) in groups] if region else [None] * ((None, None) in groups)
            for c in classes:
                rows = groups[region, c]
                ttls = sorted(ttl for ttl, _, _ in rows)
                hops = [initial_ttl(ttl) - ttl for ttl in ttls]
                rank = lambda percent: ttls[-(-len(ttls) * percent // 100) - 1]
                result.append((region, c, ttls[0], ttls[-1], rank(5), rank(95), min(hops), max(hops),
                               len({host(src) for _, src, _ in rows}), sum(p for _, _, p in rows)))
            if not classes:
                heard = any(self.listened(s) for s in self.sensors() if region in (None, self.world.sensors[s]))
                result.append((region, *[None] * 7, *[0 if heard else None] * 2))
        return result

    def by_day(self) -> dict:
        """(day, src) -> verdict, score, regions, tracks, row that gives the reason, packets by verdict"""
        rows = defaultdict(list)
        for (sensor, day, src, sig, ttl), packets in self.cells():
            rows[day, src].append((self.track(day, src, ttl), packets))
        result = {}
        for key, seen in rows.items():
            tracks = {number: row for (number, row), _ in seen if row}
            packets = defaultdict(int)
            for (_, row), n in seen:
                packets[row["verdict"] if row else "undetermined"] += n
            verdicts = {row["verdict"] for row in tracks.values()}
            verdict = ("mixed" if {"spoofed", "genuine"} <= verdicts else "spoofed" if "spoofed" in verdicts
                       else "genuine" if "genuine" in verdicts else "undetermined")
            # Tracks too small to be judged count where there is no other.
            judged = [row for row in tracks.values() if row["scored"]] or [*tracks.values()]
            called = "spoofed" if verdict == "mixed" else verdict
            reason = min((row for row in tracks.values() if row["verdict"] == called),
                         key=lambda row: (not row["scored"], row["score"], row["track"]), default=None)
            result[key] = {"verdict": verdict, "score": min((row["score"] for row in judged), default=None),
                           "reason": reason,
                           "regions": max((row["source_regions"] for row in tracks.values()), default=-1),
                           "tracks": len(tracks), "packets": packets}
        return result

    @staticmethod
    def deciding(days: dict):
        """Of {day: row}: the day that decides."""
        return max(days, key=lambda day: (days[day]["regions"],
                                          -(10 if days[day]["score"] is None else days[day]["score"]), day))

    def spoof_verdict(self) -> list[tuple]:
        """(src, src_region, verdict, score, regions_seen, nearest, tracks, genuine, spoofed, undetermined packets,
        the same days, day, track that gives the reason)"""
        sources = defaultdict(dict)
        for (day, src), row in self.by_day().items():
            sources[src][day] = row
        result = []
        for src, days in sources.items():
            day = self.deciding(days)
            row = days[day]
            reason = row["reason"] or {"source_regions": None, "nearest": None, "region": self.world.region[src],
                                       "track": 0}
            count = lambda *names: sum(r["verdict"] in names for r in days.values())
            result.append((src, reason["region"] or "ZZ", row["verdict"], row["score"], reason["source_regions"],
                           reason["nearest"], row["tracks"],
                           *(sum(r["packets"][v] for r in days.values()) for v in ("genuine", "spoofed", "undetermined")),
                           count("genuine"), count("spoofed", "mixed"), count("undetermined"), day, reason["track"]))
        order = ["spoofed", "mixed", "undetermined", "genuine"]
        return sorted(result, key=lambda r: (order.index(r[2]), 10 if r[3] is None else r[3], -sum(r[7:10]),
                                             ipaddress.ip_address(r[0]).version, ipaddress.ip_address(r[0])))

    def verdict_share(self, steps: dict) -> dict:
        """steps: day -> step. {step: (spoofed, genuine, undetermined, packets of each)}"""
        hosts, packets = defaultdict(list), defaultdict(lambda: defaultdict(int))
        for (day, src), row in self.by_day().items():
            hosts[steps[day], host(src)].append((row["regions"], -(10 if row["score"] is None else row["score"]), day,
                                                 -["spoofed", "mixed", "undetermined", "genuine"].index(row["verdict"]),
                                                 row["verdict"]))
            for verdict, n in row["packets"].items():
                packets[steps[day]][verdict] += n
        result = {}
        for step in set(steps.values()):
            verdicts = [max(rows)[4] for (s, _), rows in hosts.items() if s == step]
            result[step] = (sum(v in ("spoofed", "mixed") for v in verdicts), verdicts.count("genuine"),
                            verdicts.count("undetermined"),
                            *(packets[step][v] for v in ("spoofed", "genuine", "undetermined")))
        return result
