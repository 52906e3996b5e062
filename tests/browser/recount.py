"""What reports should say, counted once more: plain sums over the rollups' rows (steps below a day: over observations),
with nothing of the report functions. Each function of COUNTS returns rows by key; `check` compares them with what the
dashboard said."""
import collections
import datetime
import json
import urllib.parse
import zoneinfo

DAY = datetime.timedelta(days=1)
HOST = "CASE WHEN family(s.src) = 4 THEN s.src ELSE set_masklen(s.src, 64)::cidr::inet END"
KEYS = {"sensors", "sensor_region", "grp", "home", "src_region", "asn", "services", "role", "network_group", "networks", "sources",
        "ports_only", "exclude", "traits", "organization"}
RESPONSE = 0b11111 << 10


class Call:
    """A call of a report, read from its address."""

    def __init__(self, href: str):
        url = urllib.parse.urlsplit(href)
        query = dict(urllib.parse.parse_qsl(url.query))
        self.function = url.path.rsplit("/", 1)[1]
        self.first, self.last = (datetime.date.fromisoformat(query[name]) if name in query else None for name in ("from", "to"))
        self.filter = json.loads(query.get("filter", "{}"))
        self.n = int(query["n"]) if "n" in query else None
        self.step = query.get("step")
        self.rank_by = query.get("rank_by", "packets")
        self.by = query.get("by", "asn")
        self.src = query.get("src")
        self.min_hosts = int(query.get("min_hosts", 1))

    def values(self, key: str) -> list | None:
        value = self.filter.get(key)
        return value if value is None or isinstance(value, list) else [value]


class Recount:
    def __init__(self, connection, zone: str, home: str = "JP"):
        self.c, self.zone, self.home = connection, zoneinfo.ZoneInfo(zone), home
        self.sensors = {number: (region, name) for number, region, name in connection.execute("SELECT sensor_id, region, name FROM hirundo.sensor")}
        self.targets = dict(connection.execute("SELECT sensor_id, sum(targets)::int FROM hirundo.sensor_address GROUP BY 1").fetchall())

    # What the filter leaves.

    def chosen(self, call: Call) -> list[int]:
        home = call.filter.get("home", self.home)
        return [number for number, (region, _) in self.sensors.items()
                if (call.values("sensors") is None or number in call.values("sensors"))
                and (call.values("sensor_region") is None or region in call.values("sensor_region"))
                and call.filter.get("grp") in (None, "domestic" if region == home else "overseas")]

    def where(self, call: Call, first, last, raw: bool = False) -> tuple[str, list]:
        unknown = set(call.filter) - KEYS
        assert not unknown, f"not recounted: {unknown}"
        text, values = ["s.sensor_id = ANY (%s)"], [self.chosen(call)]
        if raw:
            text.append("s.observed_at >= %s AND s.observed_at < %s")
            values += [self.start(first), self.start(last + DAY)]
        else:
            text.append("s.day BETWEEN %s AND %s")
            values += [first, last]
        service = "s.service" if not raw else "(SELECT hirundo.service(s.protocol, s.dst_port))"
        for key, column in (("src_region", "coalesce(s.src_region, 'ZZ')"), ("asn", "s.src_asn"), ("services", service), ("sources", "host(s.src)")):
            if call.values(key) is not None:
                text.append(f"{column} = ANY (%s)")
                values.append(call.values(key))
        if call.values("networks"):
            text.append("s.src <<= ANY (%s::inet[])")
            values.append(call.values("networks"))
        if call.values("network_group"):
            text.append("EXISTS (SELECT FROM hirundo.network_group g WHERE g.name = ANY (%s) AND s.src <<= g.network)")
            values.append(call.values("network_group"))
        if call.values("organization"):
            text.append("(SELECT o.name FROM hirundo.organization o WHERE o.organization_id = s.organization_id) = ANY (%s)")
            values.append(call.values("organization"))
        if call.filter.get("ports_only"):
            text.append(f"{service} ~ '^[0-9]+/'")
        if call.filter.get("role"):
            text.append(f"(s.traits & {RESPONSE} <> 0) = %s")
            values.append(call.filter["role"] == "response")
        for name in call.values("traits") or ():
            text.append("s.traits & (SELECT 1 << bit FROM hirundo.trait WHERE name = %s) <> 0")
            values.append(name)
        for name in call.values("exclude") or ():
            assert name in ("response", "bogon"), f"not recounted: exclude {name}"
            text.append(f"s.traits & {RESPONSE if name == 'response' else 1 << 4} = 0")
        return " AND ".join(text), values

    def start(self, day: datetime.date) -> datetime.datetime:
        return datetime.datetime.combine(day, datetime.time(), self.zone)

    def disabled_before(self, day: datetime.date) -> set[int]:
        return {sensor for (sensor,) in self.c.execute("SELECT sensor_id FROM hirundo.sensor WHERE disabled_at < %s", (self.start(day),))}

    def sums(self, call: Call, *columns: str, first=None, last=None, more: str = "true", raw: bool = False) -> list[tuple]:
        """Rows of (columns..., packets, hosts)."""
        where, values = self.where(call, first or call.first, last or call.last, raw)
        group = ", ".join(str(i + 1) for i in range(len(columns)))
        return self.c.execute(f"SELECT {', '.join(columns)}, sum(s.packets)::bigint, count(DISTINCT {HOST}) FROM hirundo.{'observation' if raw else 'source_day'} s"
                              f" WHERE {where} AND {more} GROUP BY {group}", values).fetchall()

    # Steps.

    def step_of(self, call: Call) -> str:
        """SQL that says in which step a row of source_day or observation is: its first day, or time."""
        if call.step in ("hour", "15min"):
            return ("date_bin('15 minutes', s.observed_at, 'epoch')" if call.step == "15min"
                    else f"date_trunc('hour', s.observed_at, '{self.zone.key}')")
        if call.step in ("week", "month"):
            return f"greatest(date_trunc('{call.step}', s.day)::date, '{call.first}'::date)"
        return "s.day"

    def steps(self, call: Call) -> dict:
        """Step -> (begin, end)"""
        begins, at = [], self.start(call.first).astimezone(datetime.timezone.utc)
        end = self.start(call.last + DAY).astimezone(datetime.timezone.utc)
        if call.step in ("hour", "15min"):
            length = datetime.timedelta(minutes=60 if call.step == "hour" else 15)
            while at < end:
                begins.append((at, at))
                at += length
        else:
            day = call.first
            while day <= call.last:
                begins.append((day, self.start(day).astimezone(datetime.timezone.utc)))
                day += DAY
                while day <= call.last and ((call.step == "week" and day.weekday()) or (call.step == "month" and day.day > 1)):
                    day += DAY
        return {key: (since, till) for (key, since), till in zip(begins, [at for _, at in begins[1:]] + [end])}

    def listened(self, call: Call) -> dict:
        """(step, sensor) -> (seconds, packets, lost)"""
        rows = self.c.execute("SELECT bucket, sensor_id, seconds, packets, lost FROM hirundo.coverage WHERE sensor_id = ANY (%s) AND bucket >= %s"
                              " AND bucket < %s", (self.chosen(call), self.start(call.first), self.start(call.last + DAY))).fetchall()
        edges = sorted((since, key) for key, (since, _) in self.steps(call).items())
        starts = [since for since, _ in edges]
        result: dict = collections.defaultdict(lambda: [0.0, 0, 0])
        import bisect
        for bucket, sensor, *numbers in rows:
            entry = result[edges[bisect.bisect_right(starts, bucket) - 1][1], sensor]
            for i, number in enumerate(numbers):
                entry[i] += number
        return result

    def address_days(self, call: Call) -> dict:
        """step -> address-days"""
        result: dict = collections.defaultdict(float)
        for (step, sensor), (seconds, *_) in self.listened(call).items():
            result[step] += seconds / 86400 * self.targets[sensor]
        return result

    # The reports: {key: {column: value}}, and which column is the key.

    def ranking(self, call: Call, column: str, name: str) -> dict:
        rows = {key: (packets, hosts) for key, packets, hosts in self.sums(call, column)}
        place = 1 if call.rank_by == "hosts" else 0
        if place:
            where, values = self.where(call, call.first, call.last)
            total = self.c.execute(f"SELECT count(DISTINCT {HOST}) FROM hirundo.source_day s WHERE {where}", values).fetchone()[0]
        else:
            total = sum(row[0] for row in rows.values())
        best = sorted(rows.values(), key=lambda row: -row[place])[:call.n or 10]
        least = best[-1][place] if best else 0
        return {(key,): {"packets": packets, "hosts": hosts, "share": (packets, hosts)[place] / total}
                for key, (packets, hosts) in rows.items() if (packets, hosts)[place] >= least}

    def trend(self, call: Call, column: str) -> dict:
        raw = call.step in ("hour", "15min")
        totals: dict = collections.Counter()
        cells = {}
        for step, key, packets, hosts in self.sums(call, self.step_of(call), column, raw=raw):
            totals[key] += packets
            cells[step, key] = packets, hosts
        named = call.values("services") if column == "s.service" or "hirundo.service" in column else None
        keys = [key for key, _ in totals.most_common() if not named or key in named]
        days = self.address_days(call)
        result = {}
        for step in self.steps(call):
            for key in keys:
                packets, hosts = cells.get((step, key), (0, 0) if days.get(step) else (None, None))
                result[step, key] = {"packets": packets, "hosts": hosts,
                                     "packets_per_address_day": (packets or 0) / days[step] if days.get(step) else None}
        return result

    def by_step(self, call: Call, column: str, more: str) -> dict:
        raw = call.step in ("hour", "15min")
        return {(step, key): {"packets": packets, "hosts": hosts}
                for step, key, packets, hosts in self.sums(call, self.step_of(call), column, more=more, raw=raw)}

    def top_services(self, call):
        return self.ranking(call, "s.service", "service")

    def top_source_regions(self, call):
        return self.ranking(call, "coalesce(s.src_region, 'ZZ')", "region")

    def top_networks(self, call):
        column = {"asn": "coalesce('AS' || s.src_asn, 'not known')",
                  "prefix": "coalesce(set_masklen(s.src, CASE family(s.src) WHEN 4 THEN 24 ELSE 48 END)::cidr::text, 'not known')",
                  "organization": "coalesce((SELECT o.name FROM hirundo.organization o WHERE o.organization_id = s.organization_id),"
                                  " 'AS' || s.src_asn, 'not known')"}[call.by]
        return self.ranking(call, column, "network")

    def service_trend(self, call):
        return self.trend(call, "s.service" if call.step not in ("hour", "15min") else "hirundo.service(s.protocol, s.dst_port)")

    def source_region_trend(self, call):
        return self.trend(call, "coalesce(s.src_region, 'ZZ')")

    def ack_packets(self, call):
        if call.step in ("hour", "15min"):
            kind = "CASE WHEN s.tcp_flags & 4 <> 0 THEN 'rstack' WHEN s.tcp_flags & 2 <> 0 THEN 'synack' ELSE 'ack' END"
            return self.by_step(call, kind, "s.protocol = 6 AND s.tcp_flags & 16 <> 0")
        return self.by_step(call, "s.ack_kind", "s.ack_kind IS NOT NULL")

    def hosts_per_day(self, call):
        if call.values("networks") or call.values("network_group"):
            return None
        return self.by_step(call, "s.service" if call.values("services") else "'all'", "true")

    def mirai_hosts(self, call):
        rows = self.by_step(call, "coalesce(s.src_region, 'ZZ')", "s.traits & 128 <> 0")
        return {key: {"hosts": row["hosts"], "packets": row["packets"]} for key, row in rows.items()}

    def activity_calendar(self, call):
        return {(day,): {"packets": packets, "hosts": hosts, "active": hosts >= call.min_hosts}
                for day, packets, hosts in self.sums(call, "s.day")}

    def packets_per_sensor_day(self, call):
        if {*call.filter} - {"sensors", "sensor_region", "grp", "home"}:
            return None
        home = call.filter.get("home", self.home)
        totals: dict = collections.defaultdict(lambda: [0, 0.0])
        for (step, sensor), (seconds, packets, _) in self.listened(call).items():
            entry = totals[step, "domestic" if self.sensors[sensor][0] == home else "overseas"]
            entry[0] += packets
            entry[1] += seconds / 86400 * self.targets[sensor]
        return {key: {"packets": packets, "mean_packets": packets / days, "covered_address_days": days}
                for key, (packets, days) in totals.items() if days}

    def coverage(self, call):
        result: dict = collections.defaultdict(lambda: {"covered_seconds": 0, "packets": 0, "lost": 0})
        for (step, sensor), (seconds, packets, lost) in self.listened(call).items():
            entry = result[step, self.sensors[sensor][1]]
            entry["covered_seconds"] += seconds
            entry["packets"] += packets
            entry["lost"] += lost
        return result

    def top_services_by_sensor(self, call):
        return {(self.sensors[sensor][1], service): {"packets": packets}
                for sensor, service, packets, _ in self.sums(call, "s.sensor_id", "s.service")}

    def common_services(self, call):
        seen: dict = collections.defaultdict(dict)
        for sensor, service, packets, _ in self.sums(call, "s.sensor_id", "s.service"):
            seen[service][sensor] = packets
        return {(service,): {"sensors_seen": len(rows), "packets": sum(rows.values())} for service, rows in seen.items()}

    def ack_organizations(self, call):
        name = "coalesce((SELECT o.name FROM hirundo.organization o WHERE o.organization_id = s.organization_id), 'AS' || s.src_asn, 'not known')"
        return {(name, kind): {"packets": packets, "hosts": hosts}
                for name, kind, packets, hosts in self.sums(call, name, "s.ack_kind", more="s.ack_kind IS NOT NULL")}

    def spoof_campaigns(self, call):
        if call.filter:
            return None
        return {(day, campaign): {"claimed_sources": sources, "claimed_holders": holders, "packets": packets}
                for day, campaign, sources, holders, packets in self.c.execute(
                    "SELECT day, campaign, claimed_sources, claimed_holders, packets FROM hirundo.campaign WHERE day BETWEEN %s AND %s",
                    (call.first, call.last))}

    def verdict_share(self, call):
        if call.filter or call.step != "day":
            return None
        return {(day,): {"packets_spoofed": spoofed, "packets_genuine": genuine, "packets_undetermined": other}
                for day, spoofed, genuine, other in self.c.execute(
                    "SELECT day, coalesce(sum(packets) FILTER (WHERE verdict = 'spoofed'), 0)::bigint,"
                    " coalesce(sum(packets) FILTER (WHERE verdict = 'genuine'), 0)::bigint,"
                    " coalesce(sum(packets) FILTER (WHERE verdict = 'undetermined'), 0)::bigint"
                    " FROM hirundo.verdict WHERE day BETWEEN %s AND %s GROUP BY 1", (call.first, call.last))}

    def spoof_verdict(self, call):
        """Sources by their packets of each verdict."""
        if {*call.filter} - {"src_region", "sources"}:
            return None
        return {(src,): {"packets_genuine": genuine, "packets_spoofed": spoofed, "packets_undetermined": other}
                for src, genuine, spoofed, other in self.c.execute(
                    "SELECT host(src), coalesce(sum(packets) FILTER (WHERE verdict = 'genuine'), 0)::bigint,"
                    " coalesce(sum(packets) FILTER (WHERE verdict = 'spoofed'), 0)::bigint,"
                    " coalesce(sum(packets) FILTER (WHERE verdict = 'undetermined'), 0)::bigint FROM hirundo.verdict"
                    " WHERE day BETWEEN %s AND %s AND (%s::text[] IS NULL OR coalesce(src_region, 'ZZ') = ANY (%s))"
                    " AND (%s::text[] IS NULL OR host(src) = ANY (%s)) GROUP BY 1",
                    (call.first, call.last, *(value for key in ("src_region", "sources") for value in [call.values(key)] * 2)))}

    def verdict_changes(self, call):
        rows = self.spoof_verdict(call)
        return rows and {key: row for key, row in rows.items() if row["packets_genuine"] and row["packets_spoofed"]}

    def source(self, call):
        """All its packets on each day, at each region's sensors."""
        return {(day, region): {"packets": packets} for day, region, packets in self.c.execute(
            "SELECT s.day, i.region, sum(s.packets)::bigint FROM hirundo.ttl_day s JOIN hirundo.sensor i USING (sensor_id)"
            " WHERE s.src = %s AND s.day BETWEEN %s AND %s GROUP BY 1, 2", (call.src, call.first, call.last))}

    def response_sources_called_spoofed(self, call):
        return {(day,): {"n": n, "called_spoofed": spoofed} for day, n, spoofed in self.c.execute(
            f"SELECT s.day, count(DISTINCT {HOST}), count(DISTINCT {HOST}) FILTER (WHERE s.verdict = 'spoofed') FROM hirundo.verdict s"
            " WHERE s.signature >> 40 & 1 = 1 AND s.log_claimed IS NOT NULL AND s.day BETWEEN %s AND %s GROUP BY 1", (call.first, call.last))}

    def for_notices(self, call) -> list[tuple]:
        """Rows of (src, sensor, service, response, packets, reason): why a list for notices has them not, or None."""
        exclude = call.values("exclude") or ["response", "spoofed", "scanner_org"][call.filter.get("role") == "response":]
        holds = {"no_source": "s.src IS NULL", "response": f"s.traits & {RESPONSE} <> 0", "bogon": "s.traits & 16 <> 0",
                 "spoofed": "EXISTS (SELECT FROM hirundo.verdict v WHERE v.day = s.day AND v.src = s.src AND v.verdict = 'spoofed'"
                            " AND v.track IN (0, s.initial_ttl))",
                 "scanner_org": "EXISTS (SELECT FROM hirundo.scanner n WHERE s.src <<= n.network AND s.day >= coalesce(n.valid_from, '-infinity')"
                                " AND s.day <= coalesce(n.valid_to, 'infinity'))"}
        self.reasons = ["no_source", *(reason for reason in holds if reason in exclude)]
        where, values = self.where(question("x", call.first, call.last, {k: v for k, v in call.filter.items() if k != "exclude"}),
                                   call.first, call.last)
        reason = " ".join(f"WHEN {holds[reason]} THEN '{reason}'" for reason in self.reasons)
        return self.c.execute(f"SELECT host(s.src), s.sensor_id, s.service, s.traits & {RESPONSE} <> 0, s.packets, CASE {reason} END"
                              f" FROM hirundo.source_day s WHERE {where}", values).fetchall()

    def notification(self, call):
        result: dict = {}
        for src, sensor, service, response, packets, reason in self.for_notices(call):
            if reason is None:
                row = result.setdefault((src,), {"packets": 0, "services": collections.Counter(), "sensors": set(), "role": set()})
                row["packets"] += packets
                row["services"][service] += packets
                row["sensors"].add(sensor)
                row["role"].add("response" if response else "probe")
        return {src: {**row, "sensors": len(row["sensors"]), "role": "both" if len(row["role"]) > 1 else row["role"].pop()}
                for src, row in result.items()}

    def notification_excluded(self, call):
        packets, sources = collections.Counter(), collections.defaultdict(set)
        for src, *_, count, reason in self.for_notices(call):
            packets[reason] += count
            sources[src].add(reason)
        first = collections.Counter(min(found, key=self.reasons.index) for src, found in sources.items() if src and None not in found)
        return {(reason,): {"sources": first[reason], "packets": packets[reason]} for reason in self.reasons}

    def payload_samples(self, call):
        """All contents of the seeded instance have their bytes."""
        if {*call.filter} - {"services", "sensors", "sensor_region", "grp", "sources"}:
            return None
        rows = {}
        for at, sensor, src, packets, length, payload in self.c.execute(
                "SELECT observed_at, sensor_id, host(src), packets, payload_length, payload FROM hirundo.payload_sample WHERE observed_at >= %s"
                " AND observed_at < %s AND sensor_id = ANY (%s) AND (%s::text[] IS NULL OR hirundo.service(protocol, dst_port) = ANY (%s))"
                " AND (%s::text[] IS NULL OR host(src) = ANY (%s)) ORDER BY observed_at, content",
                (self.start(call.first), self.start(call.last + DAY), self.chosen(call),
                 *(value for key in ("services", "sources") for value in [call.values(key)] * 2))):
            first = rows.setdefault((sensor, payload), (at, {"src": src, "packets": 0, "payload_length": length}))
            first[1]["packets"] += packets
        return {(at, self.sensors[sensor][1]): row for (sensor, _), (at, row) in rows.items()}

    def publications(self, _):
        return {(name, edition): {"period": f"[{first},{last})", "home_region": home} for name, edition, first, last, home in self.c.execute(
            "SELECT name, edition, lower(period), upper(period), arguments ->> 'home' FROM hirundo.publication")}

    def ttl_by_region(self, call):
        if {*call.filter} - {"sensors", "sensor_region", "grp", "home", "src_region", "sources"}:
            return None
        where, values = self.where(call, call.first, call.last)
        return {(region, initial): {"ttl_min": low, "ttl_max": high, "packets": packets}
                for region, initial, low, high, packets in self.c.execute(
                    "SELECT i.region, CASE WHEN s.ttl <= 26 THEN 32 WHEN s.ttl <= 64 THEN 64 WHEN s.ttl <= 128 THEN 128 ELSE 255 END, min(s.ttl),"
                    f" max(s.ttl), sum(s.packets)::bigint FROM hirundo.ttl_day s JOIN hirundo.sensor i USING (sensor_id) WHERE {where} GROUP BY 1, 2",
                    values)}


def question(function: str, first, last, filter: dict | None = None, **more) -> Call:
    """A call that nobody made."""
    return Call(f"/api/{function}?" + urllib.parse.urlencode({"from": first, "to": last, "filter": json.dumps(filter or {}), **more}))


class Derived:
    """What pages make of reports' numbers, by the definitions that they print: {(figure, column): {row: value}}."""

    def __init__(self, recount: Recount, first: datetime.date, last: datetime.date, filter: dict):
        self.r, self.first, self.last, self.filter = recount, first, last, filter

    def mean(self, first, last, more: dict) -> float | None:
        """Packets by covered address-days."""
        asked = question("top_services", first, last, {**self.filter, **more})
        days = sum(self.r.address_days(question("x", first, last, {**self.place(), **more}, step="day")).values())
        packets = sum(row[1] for row in self.r.sums(asked, "1"))
        return packets / days if days else None

    def place(self) -> dict:
        return {key: value for key, value in self.filter.items() if key in ("sensors", "sensor_region", "grp", "home")}

    def before(self) -> tuple:
        n = (self.last - self.first).days + 1
        return self.first - n * DAY, self.first - DAY

    def covered(self, more: dict) -> float:
        asked = question("x", self.first, self.last, {**self.place(), **more}, step="day")
        # Of those that are disabled nothing is expected.
        sensors = [sensor for sensor in self.r.chosen(asked) if sensor not in self.r.disabled_before(self.first)]
        seconds = sum(row[0] for row in self.r.listened(asked).values())
        return seconds / (len(sensors) * ((self.last - self.first).days + 1) * 86400)

    def hosts(self, first, last, more: dict) -> dict:
        asked = question("x", first, last, {**self.filter, **more}, step="day")
        return {day: hosts for day, _, hosts in self.r.sums(asked, "s.day")}

    def values(self) -> dict:
        result: dict = collections.defaultdict(dict)
        for region in {region for region, _ in self.r.sensors.values()}:
            more = {"sensor_region": [region]}
            if not self.r.chosen(question("x", self.first, self.last, {**self.place(), **more})):
                continue
            now, then = self.mean(self.first, self.last, more), self.mean(*self.before(), more)
            listened = {step for (step, _), row in self.r.listened(question("x", self.first, self.last, more, step="day")).items() if row[0]}
            hosts = self.hosts(self.first, self.last, more)
            result["regions", "Covered"][region] = self.covered(more)
            result["regions", "Packets a day per sensor address"][region] = now
            result["regions", "Against before"][region] = now / then - 1 if now is not None and then else None
            result["regions", "Hosts a day"][region] = sum(hosts.values()) / len(listened) if listened else None
        result["key-numbers", "Value"] = {"Packets a day per sensor address": self.mean(self.first, self.last, {}), "Covered": self.covered({})}
        self.rising(result)
        self.campaigns(result)
        if self.filter.get("sources"):
            self.source(result)
        return result

    def campaigns(self, result: dict) -> None:
        """Days of one name together."""
        for name, packets in self.r.c.execute("SELECT campaign, sum(packets)::bigint FROM hirundo.campaign WHERE day BETWEEN %s AND %s GROUP BY 1",
                                              (self.first, self.last)):
            result["campaigns", "Packets"][name] = packets

    def source(self, result: dict) -> None:
        where, values = self.r.where(question("x", self.first, self.last, self.filter), self.first, self.last)
        for service, packets in self.r.c.execute(f"SELECT s.service, sum(s.packets)::bigint FROM hirundo.source_day s WHERE {where} GROUP BY 1", values):
            result["source-tried", "Packets"][service] = packets
        for region, low, high, packets in self.r.c.execute(
                "SELECT i.region, min(s.ttl), max(s.ttl), sum(s.packets)::bigint FROM hirundo.ttl_day s JOIN hirundo.sensor i USING (sensor_id)"
                f" WHERE {where} GROUP BY 1", values):
            result["source-hops", "Initial TTL"][region] = 64
            result["source-hops", "Lowest TTL"][region] = low
            result["source-hops", "Highest TTL"][region] = high
            result["source-hops", "Packets"][region] = packets
        for day, packets, regions in self.r.c.execute(
                "SELECT s.day, sum(s.packets)::bigint, count(DISTINCT i.region) FROM hirundo.source_day s JOIN hirundo.sensor i USING (sensor_id)"
                f" WHERE {where} GROUP BY 1", values):
            result["source-verdicts", "Packets"][str(day)] = packets
            result["source-verdicts", "Regions"][str(day)] = regions

    def rising(self, result: dict) -> None:
        """Score of DShield: hosts of the last day against their mean of thirty days before."""
        by_day: dict = collections.defaultdict(dict)
        asked = question("x", self.last - 30 * DAY, self.last, self.filter, step="day")
        for day, service, _, hosts in self.r.sums(asked, "s.day", "s.service"):
            by_day[service][day] = hosts
        for service, hosts in by_day.items():
            today = hosts.pop(self.last, 0)
            mean = sum(hosts.values()) / 30
            result["rising-services", "Hosts"][service] = today
            result["rising-services", "Mean"][service] = mean
            result["rising-services", "Change"][service] = today / mean - 1 if mean else None
            result["rising-services", "Score"][service] = (today - mean) / max(mean, 1) ** 0.5


# Columns that say which row it is.
KEY = {"top_services": ("service",), "top_source_regions": ("region",), "top_networks": ("network",),
       "service_trend": ("step_start", "service"), "source_region_trend": ("step_start", "region"), "ack_packets": ("step_start", "kind"),
       "hosts_per_day": ("day", "service"), "mirai_hosts": ("day", "region"), "activity_calendar": ("day",),
       "packets_per_sensor_day": ("step_start", "grp"), "coverage": ("step_start", "sensor"),
       "top_services_by_sensor": ("sensor", "service"), "common_services": ("service",), "ack_organizations": ("organization", "kind"),
       "spoof_verdict": ("src",), "verdict_changes": ("src",), "source": ("day", "sensor_region"),
       "response_sources_called_spoofed": ("day",), "notification": ("src",), "notification_excluded": ("reason",),
       "payload_samples": ("observed_at", "sensor"), "publications": ("name", "edition"),
       "spoof_campaigns": ("day", "campaign"), "verdict_share": ("step_start",), "ttl_by_region": ("sensor_region", "initial_ttl")}
# These tell all that there is.
WHOLE = {"ack_packets", "hosts_per_day", "activity_calendar", "coverage", "packets_per_sensor_day", "spoof_campaigns", "ttl_by_region",
         "verdict_share", "source", "response_sources_called_spoofed", "notification_excluded", "publications"}
# These the first n, and how many where nobody says.
LISTS = {"top_services": 10, "top_source_regions": 10, "top_networks": 10, "notification": None, "payload_samples": None}
# Nothing came, or nothing is known: both may be left out of a recount.
NOTHING = (None, 0, False)


def check(recount: Recount, href: str, rows: list[dict]) -> int | None:
    """Compares the rows of a call with the recount. @return how many numbers; None: this call is not recounted"""
    call = Call(href)
    if call.function not in KEY:
        return None
    want = getattr(recount, call.function)(call)
    if want is None:
        return None
    compared = 0
    if call.function == "source":
        rows = added(rows)
    for row in rows:
        key = tuple(plain(name, row[name], recount, call) for name in KEY[call.function])
        if call.function == "ttl_by_region" and key[0] is None:
            continue  # the row of all
        expected = want.get(key)
        columns = expected or {name: None for name in next(iter(want.values()), {})}
        for name, value in columns.items():
            got = row[name]
            same = (got == value or (expected is None and got in NOTHING)
                    or (isinstance(value, float) and got is not None and abs(got - value) <= 1e-9 * max(1, abs(value))))
            assert same, f"{href}: {key}: {name} is {got}, counted {value}"
            compared += 1
    keys = {tuple(plain(name, row[name], recount, call) for name in KEY[call.function]) for row in rows}
    assert len(keys) == len(rows), f"{href}: a row twice"
    if call.function in WHOLE:
        missing = {key for key, columns in want.items() if any(columns.values())} - keys
        assert not missing, f"{href}: not told: {sorted(missing, key=str)[:3]}"
    elif call.function in LISTS:
        n = call.n or LISTS[call.function]
        assert len(rows) == min(n or len(want), len(want)), f"{href}: {len(rows)} rows"
    return compared


def added(rows: list[dict]) -> list[dict]:
    """Sensors and tracks of a day and region in one row."""
    sums: dict = collections.Counter()
    for row in rows:
        sums[row["day"], row["sensor_region"]] += row["packets"]
    return [{"day": day, "sensor_region": region, "packets": packets} for (day, region), packets in sums.items()]


def plain(name: str, value, recount: Recount, call: Call):
    if name == "step_start":
        at = datetime.datetime.fromisoformat(value)
        return at.astimezone(datetime.timezone.utc) if call.step in ("hour", "15min") else at.astimezone(recount.zone).date()
    if name == "observed_at":
        return datetime.datetime.fromisoformat(value)
    return datetime.date.fromisoformat(value) if name == "day" else value
