// One address: what report.source knows of it, by day, sensor and sender.
import { timeAxis } from "../axis.js";
import { bars } from "../chart/bars.js";
import { hops as hopsChart } from "../chart/hops.js";
import { matrix } from "../chart/matrix.js";
import { addDays, lengthOf } from "../days.js";
import { h } from "../dom.js";
import { NONE, formatDay, formatInstant, number, percent, plural } from "../format.js";
import { networkToPath, serviceToPath } from "../state.js";
import { verdictTag } from "./verdicts.js";

const sourceCall = (view) => ({ now: { fn: "source", period: view.period, src: view.filter.sources[0] } });

/**
 * The filter under which a viewer may ask other reports about the address: its own regions' sources at all sensors, others
 * at its own sensors.
 */
export function askable(view, region) {
	const { everything, regions } = view.ctx.viewer;
	const sources = view.filter.sources;
	if (everything) return { sources };
	return regions.includes(region) ? { sources, src_region: regions } : { sources, sensor_region: regions };
}

/** What a viewer of regions is to know about what it does not see here; null: it sees all. */
export function limits(rows, view) {
	const { everything, regions } = view.ctx.viewer;
	if (everything) return null;
	const names = regions.map(view.regionName).join(", ");
	if (rows.some((row) => regions.includes(row.src_region))) return `Registered in ${names}: from all sensors, those of others by region, with their times by the hour.`;
	return `Only what sensors in ${names} saw of it: other sensors’ packets of sources registered elsewhere are not shown to you. Its verdict is from all sensors.`;
}

const nothing = ({ now }, view) => {
	if (now.length > 0) return null;
	const { everything, regions } = view.ctx.viewer;
	return everything ? "No sensor saw this address in this period." : `Nothing of this address is known that you are shown: it is not registered in ${regions.map(view.regionName).join(", ")} or was not seen, and your own sensors saw nothing of it.`;
};

const sum = (rows, key) => rows.reduce((n, row) => n + Number(row[key] ?? 0), 0);
const distinct = (rows, key) => [...new Set(rows.map((row) => row[key]).filter((v) => v !== null && v !== undefined))];

/** Packets by what they were: services of probes, and answers. @return {name, packets}[] most first */
export function servicesOf(rows) {
	const by = new Map();
	for (const row of rows) for (const [name, packets] of Object.entries(row.services ?? {})) by.set(name, (by.get(name) ?? 0) + Number(packets));
	const responses = sum(rows, "responses");
	return [...by, ...(responses > 0 ? [["responses", responses]] : [])].map(([name, packets]) => ({ name, packets })).sort((a, b) => b.packets - a.packets || a.name.localeCompare(b.name, "en", { numeric: true }));
}

/** What is known of it, a row each: {what, text, node}. */
function factsOf({ now, verdict, asn, organization, region, notice }, view) {
	const one = verdict?.[0];
	const seen = now.map((row) => [row.first_seen, row.last_seen]);
	const first = seen.map(([a]) => a).sort((a, b) => new Date(a) - new Date(b))[0];
	const last = seen.map(([, b]) => b).sort((a, b) => new Date(b) - new Date(a))[0];
	const by = one?.verdict ?? "undetermined";
	const regions = distinct(now, "src_region");
	const hourly = now.some((row) => row.sensor === null);
	const fact = (what, text, node = text) => (text === null || text === undefined || text === "" ? null : { what, text, node });
	const network = asn?.[0]?.network;
	const held = organization?.[0]?.network;
	const known = notice?.[0];
	return [
		one && fact("Verdict", `${one.verdict}, score ${one.score ?? "none"}`, [verdictTag(one.verdict), one.score === null ? null : ` score ${one.score.toFixed(1).replace("-", "−")}`,
			h("span", { class: "muted" }, ` of ${formatDay(one.day)}: the day on which most regions saw it`)]),
		one && fact("Reason", one.reason),
		one && fact("Days by verdict", `spoofed ${one.days_spoofed}, genuine ${one.days_genuine}, undetermined ${one.days_undetermined}`),
		one && fact("Packets by verdict", `spoofed ${number(one.packets_spoofed)}, genuine ${number(one.packets_genuine)}, undetermined ${number(one.packets_undetermined)}`),
		one?.nearest_region && fact("Hops fit best", view.regionName(one.nearest_region)),
		fact(by === "genuine" ? "Region" : "Region, claimed", regions.map((code) => region?.find((row) => row.region === code)?.name ?? view.regionName(code)).join(", ")),
		fact("Network", network, network ? [/^AS\d+$/.test(network) ? h("a", { href: view.link(`/network/${networkToPath(network)}`) }, network) : network, asn[0].name ? ` ${asn[0].name}` : ""] : null),
		fact("Organization", held && held !== network ? held : null), fact("Contact", known?.contact), fact("Research scanner", known?.scanner_org),
		fact("First seen", `${formatInstant(first, view.zone)}${hourly ? ", to the hour" : ""}`), fact("Last seen", `${formatInstant(last, view.zone)}${hourly ? ", to the hour" : ""}`),
		fact("First seen ever", known?.first_ever ? formatInstant(known.first_ever, view.zone) : null),
		fact("Packets", `${number(sum(now, "packets"))}, of them ${number(sum(now, "responses"))} answers`),
		fact("Seen", `on ${plural(distinct(now, "day").length, "day")}, in ${plural(distinct(now, "sensor_region").length, "region")}`),
		fact("Traits", [...new Set(now.flatMap((row) => row.traits ?? []))].join(", ")),
		fact("Campaign", distinct(now, "campaign").join(", "), distinct(now, "campaign").length > 0 ? [h("a", { href: view.link("/spoofing") }, distinct(now, "campaign").join(", "))] : null),
	].filter(Boolean);
}

export const facts = (more = {}) => ({
	name: "source-facts", title: "What is known of it", span: 7, height: 330,
	define: "Numbers of the period. A verdict tells whether packets came from the network that holds the address; it is made for each day from all sensors, and the day on which most regions saw it decides.",
	calls: sourceCall,
	more({ now }, view) {
		if (now.length === 0) return {};
		const filter = askable(view, now[0].src_region);
		const ask = (fn, extra = {}) => ({ fn, period: view.period, filter, ...extra });
		const bySource = view.ctx.viewer.everything || filter.src_region;
		return { verdict: ask("spoof_verdict", { n: 1 }), asn: ask("top_networks", { by: "asn", n: 1 }), organization: ask("top_networks", { by: "organization", n: 1 }), region: ask("top_source_regions", { n: 5 }),
			notice: bySource ? { fn: "notification", period: view.period, filter, n: 1 } : null };
	},
	names: { now: "by day, sensor and sender", verdict: "verdict", asn: "AS", organization: "organization", region: "region", notice: "for a notice" },
	empty: nothing,
	node: (rows, view) => h("dl", { class: "facts" }, factsOf(rows, view).map((one) => h("div", null, h("dt", null, one.what), h("dd", null, one.node)))),
	table: (rows, view) => ({ rows: factsOf(rows, view), sortable: false, columns: [{ key: "what", label: "What" }, { key: "text", label: "Value" }] }),
	note: ({ now }, view) => limits(now, view),
	...more,
});

export const services = (more = {}) => ({
	name: "source-tried", title: "What it tried", span: 5, height: 330,
	define: "Packets by service; responses are answers to packets that carried our addresses: of who was attacked, not of who scans.",
	calls: sourceCall, empty: nothing,
	chart({ now }, view, width) {
		const list = servicesOf(now);
		const all = sum(now, "packets");
		return bars({ width, scale: view.scale, unit: "packets", rows: list.slice(0, 12).map((row, i) => ({ key: row.name, rank: i + 1, label: row.name, value: row.packets, text: number(row.packets), share: percent(row.packets / all),
			href: row.name === "responses" ? undefined : view.link(`/service/${serviceToPath(row.name)}`) })) });
	},
	table: ({ now }) => ({ rows: servicesOf(now), columns: [{ key: "name", label: "Service" }, { key: "packets", label: "Packets", kind: "number" }] }),
	note: ({ now }) => (servicesOf(now).length > 12 ? `${servicesOf(now).length - 12} more services are in the table.` : null),
	...more,
});

const step = (view) => (lengthOf(view.period) <= 62 ? "day" : lengthOf(view.period) <= 400 ? "week" : "month");
const placeOf = (row) => row.sensor ?? row.region ?? row.sensor_region;

export const sightings = (more = {}) => ({
	name: "source-sightings", title: "Where and when", span: 12, height: 260,
	define: (view) => `Packets by sensor${view.ctx.viewer.everything ? "" : " of yours, or region of others,"} and ${step(view)} of ${view.zone}, darker where more came; only who saw it. Hatched: did not listen.`,
	calls: (view) => ({ ...sourceCall(view), heard: { fn: "coverage", period: view.period, step: step(view) } }),
	names: { now: "by day, sensor and sender", heard: "coverage" },
	empty: nothing,
	chart({ now, heard }, view, width) {
		const unit = step(view);
		const axis = timeAxis(heard, view, unit);
		// A day is in the last step that begins with it or before.
		const stepOfDay = (day) => axis.keys.findLastIndex((key) => key <= day);
		const cells = new Map();
		for (const row of now) {
			const id = `${placeOf(row)} ${stepOfDay(row.day)}`;
			const cell = cells.get(id) ?? { packets: 0, ttls: new Set(), services: new Set() };
			cell.packets += Number(row.packets);
			Object.keys(row.ttls ?? {}).forEach((ttl) => cell.ttls.add(Number(ttl)));
			Object.keys(row.services ?? {}).forEach((name) => cell.services.add(name));
			cells.set(id, cell);
		}
		const silent = new Set(heard.filter((row) => row.covered_seconds === 0).map((row) => `${placeOf(row)} ${axis.keys.indexOf(axis.of(row))}`));
		const places = [...new Map(now.map((row) => [placeOf(row), row])).entries()].sort(([, a], [, b]) => a.sensor_region.localeCompare(b.sensor_region) || String(a.sensor).localeCompare(String(b.sensor)));
		const max = Math.max(...[...cells.values()].map((cell) => cell.packets));
		const every = Math.max(1, Math.ceil(axis.keys.length / Math.max(3, Math.floor(width / 90))));
		const sensorOf = (name) => view.ctx.sensors.find((one) => one.name === name || one.public_label === name);
		return matrix({
			width, rowHeight: 22, maxCell: 40,
			rows: places.map(([name, row]) => ({ label: row.sensor ? sensorOf(name)?.public_label ?? name : view.regionName(row.sensor_region), sub: row.sensor_region,
				href: sensorOf(row.sensor) ? view.link(`/sensor/${sensorOf(row.sensor).sensor}`) : undefined })),
			columns: axis.keys.map((key, i) => ({ label: i % every === 0 ? formatDay(key).replace(/ \d{4}$/, "") : "", left: true, head: axis.texts[i] })),
			at(r, c) {
				const cell = cells.get(`${places[r][0]} ${c}`);
				if (!cell) return silent.has(`${places[r][0]} ${c}`) ? { share: null, value: "no coverage" } : {};
				return { share: Math.log1p(cell.packets) / Math.log1p(max), text: number(cell.packets), value: plural(cell.packets, "packet"),
					more: `TTL ${[...cell.ttls].sort((a, b) => a - b).join(", ")}${cell.services.size > 0 ? `; ${[...cell.services].slice(0, 4).join(", ")}` : ""}` };
			},
		});
	},
	table: ({ now }, view) => ({ rows: now, columns: [{ key: "day", label: "Day", kind: "day" }, { key: "sensor", label: "Sensor", of: (row) => row.sensor ?? "all of the region" }, { key: "sensor_region", label: "Region" },
		{ key: "track", label: "Sender", title: "0, or the initial TTL that tells senders apart" }, { key: "packets", label: "Packets", kind: "number" }, { key: "responses", label: "Answers", kind: "number" },
		{ key: "services", label: "Services", of: (row) => Object.entries(row.services ?? {}).map(([name, packets]) => `${name} ${packets}`).join(", ") }, { key: "traits", label: "Traits", of: (row) => (row.traits ?? []).join(", ") },
		{ key: "ttls", label: "Packets by TTL", of: (row) => Object.entries(row.ttls ?? {}).map(([ttl, packets]) => `${ttl}: ${packets}`).join(", ") },
		{ key: "hops", label: "Hops", kind: "number" }, { key: "expected_hops", label: "Expected", kind: "number" }, { key: "verdict", label: "Verdict" },
		{ key: "first_seen", label: "First", cell: (row) => formatInstant(row.first_seen, view.zone, { seconds: row.sensor !== null }) },
		{ key: "last_seen", label: "Last", cell: (row) => formatInstant(row.last_seen, view.zone, { seconds: row.sensor !== null }) }] }),
	...more,
});

/** Initial TTL of a TTL, as report.ttl_by_region has the classes. */
export const initialTtl = (ttl) => (ttl <= 26 ? 32 : ttl <= 64 ? 64 : ttl <= 128 ? 128 : 255);

/** TTLs by region and initial TTL: {region, initial, ttl_min, ttl_max, hops_min, hops_max, medians, expected: {low, high}|null, packets, days}. */
export function ttlRows(rows) {
	const by = new Map();
	for (const row of rows) {
		for (const [text, packets] of Object.entries(row.ttls ?? {})) {
			const ttl = Number(text);
			const initial = initialTtl(ttl);
			const id = `${row.sensor_region} ${String(initial).padStart(3, "0")}`;
			const one = by.get(id) ?? { region: row.sensor_region, initial, ttl_min: ttl, ttl_max: ttl, medians: new Set(), expected: [], packets: 0, days: new Set() };
			one.ttl_min = Math.min(one.ttl_min, ttl);
			one.ttl_max = Math.max(one.ttl_max, ttl);
			one.packets += Number(packets);
			one.days.add(row.day);
			// A row of several initial TTLs has one median: it belongs to the one that it lies in.
			if (row.hops !== null && Object.keys(row.ttls).some((other) => initialTtl(Number(other)) === initial && initial - Number(other) === row.hops)) one.medians.add(row.hops);
			if (row.expected_hops !== null && row.expected_hops !== undefined) one.expected.push(row.expected_hops);
			by.set(id, one);
		}
	}
	return [...by].sort(([a], [b]) => a.localeCompare(b)).map(([, one]) => ({
		...one, hops_min: one.initial - one.ttl_max, hops_max: one.initial - one.ttl_min, medians: [...one.medians].sort((a, b) => a - b), days: one.days.size,
		expected: one.expected.length > 0 ? { low: Math.min(...one.expected), high: Math.max(...one.expected) } : null,
	}));
}

/** Hops by which what was seen misses what is expected; 0 within, null where nothing is expected. */
export function offBy({ medians, expected }) {
	if (!expected || medians.length === 0) return null;
	const off = medians.map((v) => (v < expected.low ? v - expected.low : v > expected.high ? v - expected.high : 0));
	return off.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
}

/** So far apart that people should look: sources of one network differ by some hops. */
const FAR = 4;
const expectedText = (expected) => (!expected ? NONE : expected.high - expected.low < 0.05 ? number(expected.low) : `${number(expected.low)} ~ ${number(expected.high)}`);

export const hopsByRegion = (more = {}) => ({
	name: "source-hops", title: "TTL and hops by region", span: 12, height: 260,
	define: `Dots: median hops of each day at the region’s sensors, on the range of all packets; upright tick, with its range over days: what sources of the claimed region have there, plus what this sender is off everywhere. More than ${FAR} hops apart: orange. No tick: not judged by it.`,
	calls: sourceCall, empty: nothing,
	chart({ now }, view, width) {
		const rows = ttlRows(now);
		const several = new Set(rows.map((row) => row.initial)).size > 1;
		return hopsChart({ width, rows: rows.map((row) => ({ label: `${view.regionName(row.region)}${several ? ` (${row.initial})` : ""}`, min: row.hops_min, max: row.hops_max, seen: row.medians, expected: row.expected,
			far: Math.abs(offBy(row) ?? 0) > FAR, value: `${row.medians.join(", ") || `${row.hops_min} ~ ${row.hops_max}`} hops`,
			more: `expected ${expectedText(row.expected)}; TTL ${row.ttl_min} ~ ${row.ttl_max} from ${row.initial}; ${plural(row.packets, "packet")} on ${plural(row.days, "day")}` })) });
	},
	table: ({ now }, view) => ({ rows: ttlRows(now), columns: [{ key: "region", label: "Sensor region", cell: (row) => view.regionName(row.region) }, { key: "initial", label: "Initial TTL", kind: "number" },
		{ key: "ttl_min", label: "Lowest TTL", kind: "number" }, { key: "ttl_max", label: "Highest TTL", kind: "number" }, { key: "medians", label: "Median hops of days", kind: "number", of: (row) => row.medians.join(", ") },
		{ key: "expected", label: "Expected", kind: "number", of: (row) => row.expected?.low ?? null, cell: (row) => expectedText(row.expected) }, { key: "off", label: "Off by", kind: "number", of: offBy },
		{ key: "packets", label: "Packets", kind: "number" }, { key: "days", label: "Days", kind: "number" }] }),
	...more,
});

/** A row for each day and sender, latest first. */
export function verdictDays(rows) {
	const by = new Map();
	for (const row of rows) {
		const id = `${row.day} ${row.track ?? ""}`;
		const one = by.get(id) ?? { day: row.day, track: row.track, verdict: row.verdict, score: row.score, reason: row.reason, campaign: row.campaign, history: row.history, packets: 0, regions: new Set() };
		one.packets += Number(row.packets);
		one.regions.add(row.sensor_region);
		by.set(id, one);
	}
	return [...by.values()].sort((a, b) => b.day.localeCompare(a.day) || (a.track ?? 0) - (b.track ?? 0)).map((one) => ({ ...one, regions: one.regions.size }));
}

export const verdictByDay = (more = {}) => ({
	name: "source-verdicts", title: "Verdict of each day, and why", span: 12,
	define: "A sender is told apart by its initial TTL where one address has several. Score: log10 of the likelihood ratio genuine : spoofed. Revised: how often the verdict was made anew when late packets or new address data came.",
	calls: sourceCall, empty: nothing,
	table: ({ now }) => ({ rows: verdictDays(now), class: "list", columns: [{ key: "day", label: "Day", kind: "day", class: "whole-line" }, { key: "track", label: "Sender", of: (row) => (row.track === null ? null : row.track === 0 ? "one" : `from ${row.track}`) },
		{ key: "verdict", label: "Verdict", cell: (row) => verdictTag(row.verdict) }, { key: "score", label: "Score", kind: "number", cell: (row) => (row.score === null ? NONE : row.score.toFixed(1).replace("-", "−")) },
		{ key: "reason", label: "Reason", class: "wrap reason" }, { key: "campaign", label: "Campaign", class: "whole-line" }, { key: "packets", label: "Packets", kind: "number" }, { key: "regions", label: "Regions", kind: "number" },
		{ key: "history", label: "Revised", kind: "number", of: (row) => (row.history ? row.history.length - 1 : null), cell: (row) => (row.history ? h("span", { title: row.history.map((v) => `${v.verdict} (${v.score ?? "no score"}), ${v.computed_at}`).join("\n") }, number(row.history.length - 1)) : NONE) }] }),
	...more,
});
