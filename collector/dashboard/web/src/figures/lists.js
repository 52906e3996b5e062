// Lists of single sources, TTLs and samples: for those who may see them.
import { h } from "../dom.js";
import { formatDay, formatInstant, number } from "../format.js";
import { serviceToPath } from "../state.js";

const sourceLink = (row, view) => (row.src ? h("a", { href: view.link(`/source/${String(row.src).replace(/\/(32|128)$/, "")}`) }, String(row.src).replace(/\/(32|128)$/, "")) : null);

/** R19. A row for each sensor region and initial TTL. */
export const ttls = ({ ...more } = {}) => ({
	name: "ttl-by-region", title: "TTLs by sensor region", span: 12,
	define: "Range of TTLs by sensor region and initial TTL; 5 % and 95 % are of sightings, so that one host’s flood weighs little. One machine’s paths to our regions have their own lengths: far different ranges mean other senders.",
	calls: (view) => ({ now: { fn: "ttl_by_region", period: view.period, filter: view.with({}) } }),
	empty: ({ now }) => (now.every((row) => !row.sources) ? "No TTLs are known of this period." : null),
	table: ({ now }, view) => ({ rows: now, columns: [
		{ key: "sensor_region", label: "Sensor region", of: (row) => row.sensor_region ?? "all", cell: (row) => (row.sensor_region ? view.regionName(row.sensor_region) : "All regions") },
		{ key: "initial_ttl", label: "Initial TTL", kind: "number" }, { key: "ttl", label: "TTL", kind: "number", of: (row) => row.ttl_min,
			cell: (row) => (row.ttl_min === null ? "–" : `${row.ttl_min} ~ ${row.ttl_max}`) },
		{ key: "ttl_p5", label: "5 %", kind: "number" }, { key: "ttl_p95", label: "95 %", kind: "number" },
		{ key: "hops", label: "Hops", kind: "number", of: (row) => row.hops_min, cell: (row) => (row.hops_min === null ? "–" : `${row.hops_min} ~ ${row.hops_max}`) },
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
			sourceLink(row, view) ?? "the sensor’s own address", h("span", { class: "muted" }, `, ${row.sensor}, ${formatInstant(row.observed_at, view.zone)}`)),
		h("pre", { tabindex: "0", "aria-label": "Payload" }, dump(row.payload).map((line) => `${line.offset}  ${line.hex.padEnd(47)}  ${line.text}\n`))))),
	table: ({ now }, view) => ({ rows: now, columns: [{ key: "observed_at", label: "First", cell: (row) => formatInstant(row.observed_at, view.zone) }, { key: "sensor", label: "Sensor" },
		{ key: "src", label: "Source" }, { key: "service", label: "Service" }, { key: "packets", label: "Packets", kind: "number" }, { key: "payload_length", label: "Bytes", kind: "number" },
		{ key: "payload", label: "Payload, hexadecimal" }] }),
	...more,
});
