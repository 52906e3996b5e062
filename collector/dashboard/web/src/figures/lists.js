// Lists of single sources, TTLs and samples: for those who may see them.
import { colour } from "../chart/base.js";
import { ranges } from "../chart/ranges.js";
import { h } from "../dom.js";
import { formatDay, formatInstant, number } from "../format.js";
import { serviceToPath } from "../state.js";
import { labelOf } from "./sensors.js";

const sourceLink = (row, view) => (row.src ? h("a", { href: view.link(`/source/${String(row.src).replace(/\/(32|128)$/, "")}`) }, String(row.src).replace(/\/(32|128)$/, "")) : null);

const INITIAL = [32, 64, 128, 255];

/** R19: the range of each sensor region and initial TTL. */
export const ttls = ({ ...more } = {}) => ({
	name: "ttl-by-region", title: "TTLs by sensor region", span: 12, height: 240,
	define: "Thin: from least to most TTL of each sensor region and initial TTL (32, 64, 128, 255); thick: 5 % to 95 % of sightings, so that one host’s flood weighs little. The way from one machine to each region has its own length.",
	calls: (view) => ({ now: { fn: "ttl_by_region", period: view.period, filter: view.with({}) } }),
	empty: ({ now }) => (now.every((row) => !row.sources) ? "No TTLs are known of this period." : null),
	chart({ now }, view, width) {
		const names = [...new Set(now.filter((row) => row.sensor_region !== null).map((row) => row.sensor_region))];
		return ranges({ width, domain: [0, 255], ticks: [0, ...INITIAL], unit: "TTL", rows: names.map((name) => ({ label: view.regionName(name),
			ranges: now.filter((row) => row.sensor_region === name && row.ttl_min !== null).map((row) => ({ colour: colour(INITIAL.indexOf(row.initial_ttl)), min: row.ttl_min, max: row.ttl_max, low: row.ttl_p5, high: row.ttl_p95,
				value: `TTL ${row.ttl_min} to ${row.ttl_max}, hops ${row.hops_min} to ${row.hops_max}`, more: `5 % ${row.ttl_p5}, 95 % ${row.ttl_p95}; ${number(row.sources)} hosts, ${number(row.packets)} packets` })) })) });
	},
	table: ({ now }, view) => ({ rows: now, columns: [
		{ key: "sensor_region", label: "Sensor region", of: (row) => row.sensor_region ?? "all", cell: (row) => (row.sensor_region ? view.regionName(row.sensor_region) : "All regions") },
		{ key: "initial_ttl", label: "Initial TTL", kind: "number" }, { key: "ttl_min", label: "TTL, least", kind: "number" }, { key: "ttl_max", label: "most", kind: "number" },
		{ key: "ttl_p5", label: "5 %", kind: "number" }, { key: "ttl_p95", label: "95 %", kind: "number" },
		{ key: "hops_min", label: "Hops, least", kind: "number" }, { key: "hops_max", label: "most", kind: "number" },
		{ key: "sources", label: "Hosts", kind: "number" }, { key: "packets", label: "Packets", kind: "number" }, { key: "covered", label: "Covered", kind: "share" }] }),
	...more,
});

/** R14. */
export const notification = ({ n = 25, scope = () => ({}), ...more } = {}) => ({
	name: "notification", title: "Sources to write to", span: 12,
	define: "Sources by packets, most first, without responses, spoofed tracks and research scanners, which the second CSV counts. Exact times and ports go to the contact of the network only (hirundo-admin export).",
	calls: (view) => ({ now: { fn: "notification", period: view.period, filter: view.with(scope(view)), n }, left: { fn: "notification_excluded", period: view.period, filter: view.with(scope(view)) } }),
	names: { now: "sources", left: "what is left out" },
	empty: ({ now }) => (now.length === 0 ? "No sources to write to in this period." : null),
	table: ({ now }, view) => ({ rows: now, columns: [
		{ key: "src", label: "Source", cell: (row) => sourceLink(row, view) },
		{ key: "organization", label: "Organization" }, { key: "contact", label: "Contact" }, { key: "packets", label: "Packets", kind: "number" }, { key: "sensors", label: "Sensors", kind: "number" },
		{ key: "services", label: "Services", of: (row) => servicesOf(row.services), cell: (row) => servicesOf(row.services) },
		{ key: "traits", label: "Traits", of: (row) => (row.traits ?? []).join(", ") },
		{ key: "verdict", label: "Verdict" }, { key: "first_seen", label: "First seen", cell: (row) => formatInstant(row.first_seen, view.zone).replace(/ \(.*/, "") },
		{ key: "last_seen", label: "Last seen", cell: (row) => formatInstant(row.last_seen, view.zone).replace(/ \(.*/, "") }] }),
	note: ({ left }) => {
		const some = left.filter((row) => row.sources > 0 || row.packets > 0);
		return some.length === 0 ? null : `Left out: ${some.map((row) => `${row.reason.replace("_", " ")}: ${number(row.sources)} sources, ${number(row.packets)} packets`).join("; ")}.`;
	},
	...more,
});

function servicesOf(services) {
	const list = Object.entries(services ?? {}).sort((a, b) => b[1] - a[1]);
	return list.slice(0, 3).map(([name]) => name).join(", ") + (list.length > 3 ? ` and ${list.length - 3} more` : "");
}

/** PostgreSQL writes bytes as \x68690a. @return rows of {offset, hex, text} */
export function dump(bytea) {
	const bytes = (String(bytea ?? "").replace(/^\\x/, "").match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));
	const out = [];
	for (let i = 0; i < bytes.length; i += 16) {
		const part = bytes.slice(i, i + 16);
		out.push({ offset: i.toString(16).padStart(4, "0"), hex: part.map((b) => b.toString(16).padStart(2, "0")).join(" "), text: part.map((b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : "·")).join("") });
	}
	return out;
}

/** The days of the period whose raw rows are kept, where some are. */
function kept(view) {
	const { raw_from: from } = view.ctx.viewer;
	return from && from > view.period.from && from <= view.period.to ? { from, to: view.period.to } : view.period;
}

/** R13. */
export const payloads = ({ n = 8, ...more } = {}) => ({
	name: "payload-samples", title: "What payloads came", span: 12,
	define: (view) => `First 128 bytes of contents that came most, our addresses masked; packets that brought the same content, whoever sent them.${kept(view).from > view.period.from
		? ` From ${formatDay(kept(view).from)} on: rows of days before are not kept.` : ""}`,
	calls: (view) => ({ now: { fn: "payload_samples", period: kept(view), filter: view.with({}), n } }),
	empty: ({ now }) => (now.length === 0 ? "No packets with payload in this period." : null),
	node: ({ now }, view) => h("div", { class: "samples" }, now.map((row) => h("div", { class: "sample" },
		h("p", { class: "sample-head" }, h("a", { href: view.link(`/service/${serviceToPath(row.service)}`) }, row.service), ` ${number(row.packets)} packets · ${number(row.payload_length)} bytes · first from `,
			sourceLink(row, view) ?? "the sensor’s own address", h("span", { class: "muted" }, `, ${labelOf(view, row.sensor)}, ${formatInstant(row.observed_at, view.zone)}`)),
		h("pre", { tabindex: "0", "aria-label": "Payload" }, dump(row.payload).map((line) => `${line.offset}  ${line.hex.padEnd(47)}  ${line.text}\n`))))),
	table: ({ now }, view) => ({ rows: now, columns: [{ key: "observed_at", label: "First", cell: (row) => formatInstant(row.observed_at, view.zone) }, { key: "sensor", label: "Sensor", cell: (row) => labelOf(view, row.sensor) },
		{ key: "src", label: "Source" }, { key: "service", label: "Service" }, { key: "packets", label: "Packets", kind: "number" }, { key: "payload_length", label: "Bytes", kind: "number" },
		{ key: "payload", label: "Payload, hexadecimal" }] }),
	...more,
});
