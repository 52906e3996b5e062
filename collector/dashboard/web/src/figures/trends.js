// Series over time: services, source regions, means by group, ACKs. Lines stop where nobody listened.
import { stepOf, timeAxis } from "../axis.js";
import { bars } from "../chart/bars.js";
import { heightFor } from "../chart/base.js";
import { lines } from "../chart/lines.js";
import { pivot } from "../chart/series.js";
import { STEP_NAMES, change, number } from "../format.js";
import { serviceToPath } from "../state.js";

const MEAN = "packets_per_address_day";
/** Of a view's measure: [column, unit]. */
export const measured = (view, step) => (view.measure === "hosts" ? ["hosts", `hosts a ${step === "15min" ? "quarter of an hour" : step}`] : [MEAN, "packets a day per sensor address"]);

/** Rows of the period compared with, step by step beside those of the period. */
export function beside(rows, view, step, count, how) {
	if (!rows) return null;
	const axis = timeAxis(rows, { ...view, period: view.before }, step);
	const series = pivot(rows, axis.keys, { ...how, step: axis.of });
	for (const [key, values] of series) series.set(key, Array.from({ length: count }, (_, i) => values[i] ?? null));
	return series;
}

const stepWords = (view) => STEP_NAMES[stepOf(view)];

/** Between small multiples, pixels. */
const GAP = 24;

/** As many columns as fit, but so that the last row is not left nearly empty. */
export function evenColumns(n, most) {
	return Math.ceil(n / Math.ceil(n / Math.min(n, most)));
}

/** What both kinds of trend share. */
function trend({ fn, key, label, href, filterKey, n, multiples, also = () => ({}) }) {
	return {
		calls: (view) => ({ now: { fn, period: view.period, filter: view.with({}), step: stepOf(view), n }, ...also(view) }),
		more: ({ now }, view) => view.before && now.length > 0 && {
			before: { fn, period: view.before, filter: view.with({ [filterKey]: [...new Set(now.map((row) => row[key]))] }), step: stepOf(view), n: 100 },
		},
		empty: ({ now }) => (now.length === 0 ? "Nothing came in this period." : null),
		chart({ now, before, names }, view, width) {
			const step = stepOf(view);
			const [column, unit] = measured(view, step);
			const axis = timeAxis(now, view, step);
			const how = { step: axis.of, series: (row) => row[key], value: (row) => row[column] };
			const then = beside(before, view, step, axis.keys.length, how);
			const series = [...pivot(now, axis.keys, how)].map(([one, values]) => ({ name: label(one, view, names), key: one, values, before: then?.get(one), href: href(one, view) }));
			const common = { scale: view.scale, say: number, xs: axis.xs, xTexts: axis.texts, ticks: axis.ticks, interval: axis.interval, beforeName: view.beforeName };
			if (!multiples) return lines({ width, height: heightFor(width, 300), series, unit, ...common });
			const columns = evenColumns(series.length, Math.max(1, Math.floor((width + GAP) / (width < 460 ? 160 : 220))));
			const each = (width - (columns - 1) * GAP) / columns;
			const all = series.flatMap((s) => [...s.values, ...(s.before ?? [])]);
			return Object.assign(series.map((s) => ({ label: s.name, href: s.href, ...lines({ width: each, height: 124, series: [{ ...s, colour: "var(--s1)", dash: "none" }], all, labels: false, ...common }) })),
				{ columns, gap: GAP });
		},
		table: ({ now, names }, view) => {
			const axis = timeAxis(now, view, stepOf(view));
			const at = new Map(axis.keys.map((k, i) => [k, axis.texts[i]]));
			return { rows: now, columns: [
				{ key: "step_start", label: "Time", cell: (row) => at.get(axis.of(row)) ?? row.step_start, of: (row) => row.step_start },
				{ key, label: key === "service" ? "Service" : "Region", cell: (row) => label(row[key], view, names) },
				{ key: MEAN, label: "Packets a day per sensor address", kind: "number" }, { key: "packets", label: "Packets", kind: "number" },
				{ key: "hosts", label: "Hosts", kind: "number" }, { key: "covered", label: "Covered", kind: "share" },
			] };
		},
	};
}

export const serviceTrend = ({ n = 8, ...more } = {}) => ({
	name: "service-trend", title: "Services over time", span: 12, height: 300,
	define: (view) => `The ${n} services with most packets, by ${stepWords(view)}, all on one scale. ${view.measure === "hosts" ? "Hosts: distinct sources in a step."
		: "Packets a day per sensor address: divided by covered address-days, so that an outage lowers no mean."}`,
	...trend({ fn: "service_trend", key: "service", label: (service) => service, href: (service, view) => view.link(`/service/${serviceToPath(service)}`), filterKey: "services", n, multiples: true }),
	...more,
});

export const regionTrend = ({ n = 5, ...more } = {}) => ({
	name: "source-region-trend", title: "Source regions over time", span: 12, height: 300,
	define: (view) => `The ${n} regions that most packets claim to come from, by ${stepWords(view)}.`,
	...trend({ fn: "source_region_trend", key: "region", filterKey: "src_region", n, multiples: false,
		label: (code, view, names) => names?.find((row) => row.region === code)?.name ?? (code === "ZZ" ? "not known" : view.regionName(code)), href: () => undefined,
		also: (view) => ({ names: { fn: "top_source_regions", period: view.period, filter: view.with({}), n: 10, rank_by: "packets" } }) }),
	names: { names: "the regions’ ranking" },
	...more,
});

const GROUPS = { domestic: "Domestic", overseas: "Overseas" };

/** R7, R8: the mean by group, with the year before; of one region, with the period before, too. */
export const meanPackets = ({ groups = ["domestic", "overseas"], plotHeight = 280, ...more } = {}) => ({
	name: "packets-per-sensor-day", title: "Packets a day per sensor address", span: 12, height: 300,
	define: (view) => `Packets of all sensors of a group divided by its covered address-days, by ${stepWords(view)}. Thin: ${view.before ? view.beforeName : "the same time a year before"}.`,
	calls: (view) => ({
		now: { fn: "packets_per_sensor_day", period: view.period, filter: view.with({}), step: stepOf(view) },
		before: view.cmp === "previous" ? { fn: "packets_per_sensor_day", period: view.before, filter: view.with({}), step: stepOf(view) } : null,
	}),
	empty: ({ now }) => (now.every((row) => row.mean_packets === null) ? "No sensor listened in this period." : null),
	chart({ now, before }, view, width) {
		const step = stepOf(view);
		const axis = timeAxis(now, view, step);
		const how = { step: axis.of, series: (row) => row.grp, value: (row) => row.mean_packets };
		const values = pivot(now, axis.keys, how);
		const year = pivot(now, axis.keys, { ...how, value: (row) => row.mean_year_before });
		const then = beside(before, view, step, axis.keys.length, how) ?? year;
		const used = [...values.keys()].filter((grp) => values.get(grp).some((v) => v !== null) && groups.includes(grp));
		return lines({
			width, height: heightFor(width, plotHeight), xs: axis.xs, xTexts: axis.texts, ticks: axis.ticks, interval: axis.interval, scale: view.scale, say: number,
			unit: "packets a day per sensor address", beforeName: before ? view.beforeName : "a year before",
			series: used.map((grp) => ({ name: used.length > 1 ? GROUPS[grp] : "this period", values: values.get(grp),
				before: then.get(grp)?.some((v) => v !== null) ? then.get(grp) : undefined, colour: grp === "overseas" && used.length > 1 ? "var(--s2)" : "var(--s1)" })),
		});
	},
	table: ({ now }, view) => {
		const axis = timeAxis(now, view, stepOf(view));
		const at = new Map(axis.keys.map((k, i) => [k, axis.texts[i]]));
		const known = new Set(now.filter((row) => row.mean_packets !== null).map((row) => row.grp));
		return { rows: now.filter((row) => known.has(row.grp)), columns: [
			{ key: "step_start", label: "Time", of: (row) => row.step_start, cell: (row) => at.get(axis.of(row)) ?? row.step_start },
			{ key: "grp", label: "Sensors", cell: (row) => GROUPS[row.grp] }, { key: "mean_packets", label: "Packets a day per sensor address", kind: "number" },
			{ key: "mean_year_before", label: "A year before", kind: "number" }, { key: "mean_same_sensors", label: "Of sensors in both", kind: "number" },
			{ key: "mean_year_before_same_sensors", label: "Of these a year before", kind: "number" }, { key: "covered_address_days", label: "Covered address-days", kind: "number" },
			{ key: "packets", label: "Packets", kind: "number" },
		] };
	},
	...more,
});

/** R7, R8: months as bars, the tick on each is the same month a year before. */
export const monthlyMeans = ({ ...more } = {}) => ({
	name: "monthly-means", title: "Packets a day per sensor address, by month", span: 12, height: 220,
	define: "Packets of all sensors of a group divided by its covered address-days, by month. Tick: the same month a year before; beside it, the change.",
	calls: (view) => ({ now: { fn: "packets_per_sensor_day", period: view.period, filter: view.with({}), step: "month" } }),
	empty: ({ now }) => (now.every((row) => row.mean_packets === null) ? "No sensor listened in this period." : null),
	chart({ now }, view, width) {
		const axis = timeAxis(now, view, "month");
		const at = new Map(axis.keys.map((k, i) => [k, axis.texts[i]]));
		return bars({ width, scale: view.scale, unit: "packets a day per sensor address", beforeName: "a year before", rows: [...now].sort((a, b) => a.grp.localeCompare(b.grp) || axis.of(a).localeCompare(axis.of(b))).map((row) => ({
			key: `${row.grp} ${row.step_start}`, label: GROUPS[row.grp], sub: at.get(axis.of(row)) ?? row.step_start, value: row.mean_packets, text: row.mean_packets === null ? "no coverage" : number(row.mean_packets),
			share: change(row.mean_packets, row.mean_year_before), before: row.mean_year_before, beforeText: number(row.mean_year_before), colour: row.grp === "overseas" ? "var(--s2)" : "var(--s1)",
			tip: row.mean_same_sensors === null ? null : `sensors in both years: ${number(row.mean_same_sensors)}, before ${number(row.mean_year_before_same_sensors)}` })) });
	},
	table: meanPackets().table,
	...more,
});

const KINDS = { ack: "ACK alone", synack: "SYN-ACK", rstack: "RST-ACK" };

/** R5. */
export const ackTrend = ({ scope = () => ({}), ...more } = {}) => ({
	name: "ack-packets", title: "TCP packets with ACK", span: 7, height: 260,
	define: (view) => `Answers to packets that carried our addresses, by ${stepWords(view)}: SYN-ACK, RST-ACK and ACK alone add up to all with ACK.`,
	calls: (view) => ({ now: { fn: "ack_packets", period: view.period, filter: view.with(scope(view)), step: stepOf(view) },
		before: view.before && { fn: "ack_packets", period: view.before, filter: view.with(scope(view)), step: stepOf(view) } }),
	empty: ({ now }) => (now.every((row) => !row.packets) ? "No packets with ACK in this period." : null),
	chart({ now, before }, view, width) {
		const step = stepOf(view);
		const axis = timeAxis(now, view, step);
		const how = { step: axis.of, series: (row) => row.kind, value: (row) => row[view.measure] };
		const then = beside(before, view, step, axis.keys.length, how);
		return lines({ width, height: heightFor(width, 250), xs: axis.xs, xTexts: axis.texts, ticks: axis.ticks, interval: axis.interval, scale: view.scale, say: number, unit: view.measure, beforeName: view.beforeName,
			series: [...pivot(now, axis.keys, how)].map(([kind, values]) => ({ name: KINDS[kind] ?? kind, values, before: then?.get(kind) })) });
	},
	table: ({ now }, view) => {
		const axis = timeAxis(now, view, stepOf(view));
		const at = new Map(axis.keys.map((k, i) => [k, axis.texts[i]]));
		return { rows: now, columns: [{ key: "step_start", label: "Time", of: (row) => row.step_start, cell: (row) => at.get(axis.of(row)) ?? row.step_start },
			{ key: "kind", label: "Kind", cell: (row) => KINDS[row.kind] ?? row.kind }, { key: "packets", label: "Packets", kind: "number" }, { key: "hosts", label: "Hosts", kind: "number" },
			{ key: "covered", label: "Covered", kind: "share" }] };
	},
	...more,
});

/** R15, R16. */
export const miraiHosts = ({ n = 5, plotHeight = 280, ...more } = {}) => ({
	name: "mirai-hosts", title: "Mirai: hosts a day by region", span: 7, height: 280,
	define: `Hosts whose TCP SYNs carry the destination as sequence number, by reporting day: all, and of the ${n} regions with most of them.`,
	calls: (view) => ({ now: { fn: "mirai_hosts", period: view.period, filter: view.with({}), n },
		before: view.before && { fn: "mirai_hosts", period: view.before, filter: view.with({}), n: 1 } }),
	empty: ({ now }) => (now.every((row) => row.region === null) ? "No packets of this kind in this period." : null),
	chart({ now, before }, view, width) {
		const axis = timeAxis(now, view, "day");
		const byRegion = pivot(now, axis.keys, { step: (row) => row.day, series: (row) => row.region, value: (row) => row.hosts });
		const all = { step: (row) => row.day, series: () => "all", value: (row) => row.total_hosts };
		const names = new Map(now.map((row) => [row.region, row.name]));
		return lines({ width, height: heightFor(width, plotHeight), xs: axis.xs, xTexts: axis.texts, scale: view.scale, say: number, unit: "hosts a day", beforeName: view.beforeName,
			series: [{ name: "All", values: pivot(now, axis.keys, all).get("all"), before: beside(before, view, "day", axis.keys.length, all)?.get("all"), colour: "var(--ink)", dash: "none" },
				...[...byRegion].map(([code, values], i) => ({ name: names.get(code) ?? code, values, colour: `var(--s${(i % 7) + 1})` }))] });
	},
	table: ({ now }) => ({ rows: now, columns: [{ key: "day", label: "Day", kind: "day" }, { key: "name", label: "Region", of: (row) => row.name ?? row.region },
		{ key: "hosts", label: "Hosts", kind: "number" }, { key: "total_hosts", label: "Hosts, all regions", kind: "number" },
		{ key: "top_hosts", label: `Hosts of the ${n} regions`, kind: "number" }, { key: "packets", label: "Packets", kind: "number" }, { key: "covered", label: "Covered", kind: "share" }] }),
	...more,
});

/** A service, a network, both, or neither. */
const seriesOf = (row) => [row.service, row.network].filter((one) => one && one !== "all").join(", ") || "All hosts";

/** R17: hosts by reporting day, of each service of the filter or of all together. */
export const hostsPerDay = ({ ...more } = {}) => ({
	name: "hosts-per-day", title: "Hosts a day", span: 12, height: 260,
	define: "Distinct sources of a reporting day over all sensors; they never add up over days.",
	calls: (view) => ({ now: { fn: "hosts_per_day", period: view.period, filter: view.with({}) }, before: view.before && { fn: "hosts_per_day", period: view.before, filter: view.with({}) } }),
	empty: ({ now }) => (now.every((row) => row.hosts === null) ? "No sensor listened in this period." : null),
	chart({ now, before }, view, width) {
		const axis = timeAxis(now, view, "day");
		const how = { step: (row) => row.day, series: seriesOf, value: (row) => row.hosts };
		const then = beside(before, view, "day", axis.keys.length, how);
		return lines({ width, height: heightFor(width, 240), xs: axis.xs, xTexts: axis.texts, scale: view.scale, say: number, unit: "hosts a day", beforeName: view.beforeName,
			series: [...pivot(now, axis.keys, how)].map(([name, values]) => ({ name, values, before: then?.get(name) })) });
	},
	table: ({ now }) => ({ rows: now, columns: [{ key: "day", label: "Day", kind: "day" }, { key: "service", label: "Service" }, { key: "network", label: "Network" },
		{ key: "hosts", label: "Hosts", kind: "number" }, { key: "packets", label: "Packets", kind: "number" }, { key: "covered", label: "Covered", kind: "share" }] }),
	...more,
});
