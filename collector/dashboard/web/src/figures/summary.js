// What is told in one glance: numbers of a place, and regions side by side.
import { timeAxis } from "../axis.js";
import { pivot } from "../chart/series.js";
import { spark } from "../chart/spark.js";
import { addDays, lengthOf, previous } from "../days.js";
import { h } from "../dom.js";
import { NONE, change, formatDay, formatPeriod, number, percent } from "../format.js";
import { serviceToPath } from "../state.js";
import { labelOf, placeOnly, sensorsOf } from "./sensors.js";

/** The last day of the period that is over; of a period that is only today, today. */
export function lastWhole(view) {
	const yesterday = addDays(view.ctx.viewer.today, -1);
	return view.period.to <= yesterday || view.period.from > yesterday ? view.period.to : yesterday;
}

/** Mean over steps: packets by covered address-days, both summed. Null where nobody listened. */
export function meanOf(rows) {
	const heard = rows.filter((row) => row.covered_address_days > 0);
	const days = heard.reduce((sum, row) => sum + Number(row.covered_address_days), 0);
	return days > 0 ? heard.reduce((sum, row) => sum + Number(row.packets ?? 0), 0) / days : null;
}

/** Share of the time until as_of in which sensors listened. */
export function coveredShare(rows, view) {
	if (rows.length === 0) return null;
	const counts = lastStep(rows).reduce((n, row) => n + sensorsOf(row, view), 0);
	const start = Math.min(...rows.map((row) => +new Date(row.step_start)));
	const whole = lengthOf(view.period) * 86400;
	const past = Math.max(1, (new Date(view.ctx.viewer.as_of ?? Date.now()) - start) / 1000);
	const seconds = rows.reduce((sum, row) => sum + Number(row.covered_seconds ?? 0), 0);
	return Math.min(1, seconds / (counts * Math.min(whole, past)));
}

const step = (period) => (lengthOf(period) <= 62 ? "day" : lengthOf(period) <= 400 ? "week" : "month");

/** @param {function} more  (view) -> further calls to make; fields of numbers from them */
export const keyNumbers = ({ ...more } = {}) => ({
	name: "key-numbers", title: "In short", span: 12, height: 92,
	define: (view) => `${formatPeriod(view.period)} against the period before, ${formatPeriod(previous(view.period))}; hosts of the last whole day against the week before.`,
	calls: (view) => {
		const day = lastWhole(view);
		return {
			mean: { fn: "packets_per_sensor_day", period: view.period, filter: view.with({}), step: step(view.period) },
			earlier: { fn: "packets_per_sensor_day", period: previous(view.period), filter: view.with({}), step: step(view.period) },
			coverage: { fn: "coverage", period: view.period, filter: placeOnly(view.filter), step: step(view.period) },
			top: { fn: "top_services_by_sensor", period: view.period, filter: view.with({}), n: 1 },
			hosts: { fn: "hosts_per_day", period: { from: addDays(day, -7), to: day }, filter: view.with({}) },
		};
	},
	names: { mean: "packets a day per sensor address", earlier: "the same before", coverage: "coverage", top: "first service of each sensor", hosts: "hosts of eight days" },
	empty: ({ coverage }) => (coverage.length === 0 ? "There are no sensors here." : null),
	node(rows, view) {
		return h("dl", { class: "numbers" }, numbersOf(rows, view).map((n) => h("div", null, h("dt", null, n.what), h("dd", { class: "big" }, n.big, n.unit ? h("small", null, ` ${n.unit}`) : null),
			h("dd", { class: "than" }, n.than))));
	},
	table: (rows, view) => ({ rows: numbersOf(rows, view), columns: [{ key: "what", label: "Number" }, { key: "value", label: "Value", cell: (n) => [n.big, n.unit ? ` ${n.unit}` : ""] },
		{ key: "note", label: "Compared", of: (n) => n.text }] }),
	...more,
});

function numbersOf({ mean, earlier, coverage, top, hosts }, view) {
	const now = meanOf(mean);
	const before = meanOf(earlier);
	const day = lastWhole(view);
	const latest = lastStep(coverage);
	const listening = latest.filter((row) => row.covered_seconds > 0).length;
	const share = coveredShare(coverage, view);
	const lost = coverage.reduce((n, row) => n + Number(row.lost ?? 0), 0);
	const [first] = common(top);
	const services = [...new Set(hosts.map((row) => row.service))];
	const at = (d) => hosts.find((row) => row.day === d)?.hosts ?? null;
	const single = services.length <= 1;
	const line = (text) => ({ text, than: text });
	const one = view.filter.services?.length === 1;
	const places = latest.every((row) => row.sensor);
	return [
		{ what: "Packets a day per sensor address", value: now, big: number(now), ...line(before === null ? "no data before" : `${change(now, before)} (before: ${number(before)})`) },
		...(single ? [{ what: `Hosts on ${formatDay(day).replace(/ \d{4}$/, "")}`, value: at(day), big: number(at(day)),
			...line(at(addDays(day, -7)) === null ? "no data a week before" : `${change(at(day), at(addDays(day, -7)))} against ${formatDay(addDays(day, -7)).replace(/ \d{4}$/, "")}`) }] : []),
		...(one ? [{ what: "Seen at", value: first?.of ?? 0, big: number(first?.of ?? 0), unit: `of ${number(new Set(top.map(placeOf)).size)}`, ...line("places, in this period") }]
			: first ? [{ what: first.of > 1 ? "First at most sensors" : "First by packets", value: first.service, big: h("a", { href: view.link(`/service/${serviceToPath(first.service)}`) }, first.service), ...line(first.of > 1 ? `first at ${first.first} of ${first.of} places` : "in this period") }] : []),
		{ what: "Covered", value: share, big: percent(share), ...line(lost > 0 ? `${number(lost)} packets known to be lost` : "no packets known to be lost") },
		{ what: places ? "Sensors that listen" : "Regions that listen", value: listening, big: number(listening), unit: `of ${number(latest.length)}`,
			...line(listening === latest.length ? "all, in the last step" : `silent: ${latest.filter((row) => !(row.covered_seconds > 0)).slice(0, 4).map((row) => labelOf(view, placeOf(row))).join(", ")}`) },
	];
}

const placeOf = (row) => row.sensor ?? row.region;

/** Rows of the last step of each sensor. */
function lastStep(rows) {
	const out = new Map();
	for (const row of rows) out.set(row.sensor ?? row.region, row);
	return [...out.values()];
}

/** Which services are first, at how many of the places. */
function common(rows) {
	const first = new Map();
	const heard = rows.filter((row) => row.rank === 1);
	for (const row of heard) first.set(row.service, (first.get(row.service) ?? 0) + 1);
	return [...first].map(([service, n]) => ({ service, first: n, of: heard.length })).sort((a, b) => b.first - a.first);
}

function meter(share) {
	const bar = h("i");
	bar.style.width = `${Math.round(share * 100)}%`;
	return h("span", { class: share < 0.9 ? "meter low" : "meter", "aria-hidden": "true" }, bar);
}

const HOST_DAYS = 30;
const hostPeriod = (view) => (lengthOf(view.period) <= HOST_DAYS ? view.period : { from: addDays(view.period.to, 1 - HOST_DAYS), to: view.period.to });
const shown = (view) => view.ctx.regions.filter((r) => r.shown && (!view.filter.sensor_region || view.filter.sensor_region.includes(r.region)));

/** All regions, a row each. */
export const regionTable = ({ ...more } = {}) => ({
	name: "regions", title: "Regions side by side", span: 12, height: 420,
	define: (view) => `Packets by covered address-days, against the period before (${formatPeriod(previous(view.period))}); hosts: mean over ${lengthOf(hostPeriod(view)) < lengthOf(view.period)
		? `the last ${HOST_DAYS} days` : "the days"} that were heard. Small charts of packets share one scale, those of hosts another.`,
	calls: (view) => ({
		coverage: { fn: "coverage", period: view.period, filter: placeOnly(view.filter), step: step(view.period) },
		top: { fn: "top_services_by_sensor", period: view.period, filter: view.with({}), n: 1 },
		...Object.fromEntries(shown(view).flatMap(({ region }) => {
			const filter = view.with({ sensor_region: [region] });
			return [[`packets_${region}`, { fn: "packets_per_sensor_day", period: view.period, filter, step: step(view.period) }],
				[`before_${region}`, { fn: "packets_per_sensor_day", period: previous(view.period), filter, step: "month" }],
				[`hosts_${region}`, { fn: "hosts_per_day", period: hostPeriod(view), filter }]];
		})),
	}),
	names: (view) => Object.fromEntries([["coverage", "coverage"], ["top", "first service of each sensor"], ...shown(view).flatMap(({ region }) => [[`packets_${region}`, `${region} packets`],
		[`before_${region}`, `${region} before`], [`hosts_${region}`, `${region} hosts`]])]),
	empty: (rows, view) => (shown(view).length === 0 ? "No region may be shown by itself." : null),
	table(rows, view) {
		const list = regionRows(rows, view);
		const topPackets = Math.max(0, ...list.flatMap((r) => r.packets).filter((v) => v !== null));
		const topHosts = Math.max(0, ...list.flatMap((r) => r.hosts).filter((v) => v !== null));
		return { rows: list, class: "big-table", columns: [
			{ key: "region", label: "Region", cell: (r) => [h("a", { href: view.link(`/r/${r.region}`) }, r.name ?? r.region), " ", h("span", { class: "muted" }, r.region), r.domestic ? [" ", h("span", { class: "tag" }, "home")] : null] },
			{ key: "sensors", label: "Sensors", kind: "number" },
			{ key: "share", label: "Covered", kind: "share", cell: (r) => (r.share === null ? NONE : [meter(r.share), percent(r.share)]) },
			{ key: "spark", label: "Packets over time", sort: false, of: () => null, cell: (r) => spark(r.packets, { max: topPackets, width: 150 }) },
			{ key: "mean", label: "Packets a day per sensor address", kind: "number" },
			{ key: "change", label: "Against before", kind: "number", of: (r) => (r.mean !== null && r.before ? r.mean / r.before - 1 : null),
				cell: (r) => h("span", { class: `delta ${r.before && r.mean > r.before * 1.1 ? "up" : r.before && r.mean < r.before * 0.9 ? "down" : ""}` }, change(r.mean, r.before)) },
			{ key: "hosts-spark", label: "Hosts over time", sort: false, of: () => null, cell: (r) => spark(r.hosts, { max: topHosts, width: 150 }) },
			{ key: "hosts", label: "Hosts a day", kind: "number", of: (r) => r.hostMean, cell: (r) => number(r.hostMean === null ? null : Math.round(r.hostMean)) },
			...(view.filter.services ? [] : [{ key: "top", label: "First at most sensors", of: (r) => r.top?.service ?? null, cell: (r) => (r.top ? [h("a", { href: view.link(`/service/${serviceToPath(r.top.service)}`) }, r.top.service),
				r.top.of > 1 ? h("span", { class: "muted" }, ` ${r.top.first} of ${r.top.of}`) : null] : NONE) }]),
		] };
	},
	...more,
});

function regionRows(rows, view) {
	return shown(view).map((place) => {
		const { region } = place;
		const packets = rows[`packets_${region}`].filter((row) => row.grp === (place.domestic ? "domestic" : "overseas"));
		const axis = timeAxis(packets, view, step(view.period));
		const hosts = rows[`hosts_${region}`];
		const single = new Set(hosts.map((row) => row.service)).size <= 1;
		const hostAxis = timeAxis(hosts, { ...view, period: hostPeriod(view) }, "day");
		const heard = single ? hosts.filter((row) => row.hosts !== null).map((row) => row.hosts) : [];
		const only = (list) => [...list.values()][0] ?? [];
		return {
			...place, share: coveredShare(rows.coverage.filter((row) => row.region === region), view), mean: meanOf(packets), before: meanOf(rows[`before_${region}`]),
			packets: only(pivot(packets, axis.keys, { step: axis.of, series: () => "all", value: (row) => row.mean_packets })),
			hosts: single ? only(pivot(hosts, hostAxis.keys, { step: (row) => row.day, series: () => "all", value: (row) => row.hosts })) : [],
			hostMean: heard.length === 0 ? null : heard.reduce((a, b) => a + b, 0) / heard.length,
			top: common(rows.top.filter((row) => row.region === region))[0] ?? null,
		};
	});
}
