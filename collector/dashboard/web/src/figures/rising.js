// Rising services: a published formula, so that anybody can recompute it from the CSV files.
import { spark } from "../chart/spark.js";
import { addDays } from "../days.js";
import { h } from "../dom.js";
import { change, formatDay, number } from "../format.js";
import { pivot } from "../chart/series.js";
import { timeAxis } from "../axis.js";
import { serviceToPath } from "../state.js";

const DAYS = 30;
/** Fewer hosts than these are no trend; days that were heard less than that are left out. */
const HOSTS = 5;
const COVERED = 0.5;

/**
 * The sources' term of DShield's trend score, sqrt((S - s)²/s + (T - t)²/t) (isc.sans.edu/trends.html), with its sign: (S - s) / sqrt(s).
 * S: hosts of the day; s: their mean over the days before, at least 1. The targets' term is left out: our sensors are so
 * few that nearly all see what is scanned widely.
 * @param {Array<number|null>} before  hosts of each day before, null where it does not count  @return {{score, mean}|null}
 */
export function trendScore(hosts, before) {
	const known = before.filter((v) => v !== null);
	if (hosts === null || known.length === 0) return null;
	const mean = known.reduce((a, b) => a + b, 0) / known.length;
	return { score: (hosts - mean) / Math.sqrt(Math.max(mean, 1)), mean };
}

/** The last day of the period that is over. */
const dayOf = (view) => (view.period.to < view.ctx.viewer.today ? view.period.to : addDays(view.ctx.viewer.today, -1));
const month = (view) => ({ from: addDays(dayOf(view), -DAYS), to: dayOf(view) });

export function risen(rows, view) {
	const axis = timeAxis(rows, { ...view, period: month(view) }, "day");
	const how = { step: axis.of, series: (row) => row.service };
	const hosts = pivot(rows, axis.keys, { ...how, value: (row) => (row.covered !== null && row.covered >= COVERED ? row.hosts : null) });
	const drawn = pivot(rows, axis.keys, { ...how, value: (row) => row.hosts });
	return [...hosts].map(([service, values]) => ({ service, hosts: values[values.length - 1], values: drawn.get(service), ...trendScore(values[values.length - 1], values.slice(0, -1)) }))
		.filter((row) => row.score > 0 && row.hosts >= HOSTS).sort((a, b) => b.score - a.score);
}

export const rising = ({ n = 10, scope = () => ({}), ...more } = {}) => ({
	name: "rising-services", title: "Rising services", span: 5, height: 330,
	define: (view) => `Hosts S of ${formatDay(dayOf(view))} against s, their mean of the ${DAYS} days before: score (S − s) / √s, the sources’ term of DShield’s trend score (isc.sans.edu/trends.html). Of the 40 services with most hosts that day.`,
	calls: (view) => ({ day: { fn: "top_services", period: { from: dayOf(view), to: dayOf(view) }, filter: view.with(scope(view)), n: 40, rank_by: "hosts" } }),
	more: ({ day }, view) => day.length > 0 && { month: { fn: "service_trend", period: month(view), filter: view.with({ ...scope(view), services: day.map((row) => row.service) }), step: "day" } },
	names: { day: "services of the day", month: `hosts of ${DAYS + 1} days` },
	empty: ({ day, month: rows }, view) => {
		if (day.length === 0) return `Nothing came on ${formatDay(dayOf(view))}.`;
		return risen(rows, view).length === 0 ? `No service rose on ${formatDay(dayOf(view))}.` : null;
	},
	table: ({ day, month: rows }, view) => {
		const words = new Map(day.map((row) => [row.service, row.common_name ?? row.name ?? ""]));
		return { rows: risen(rows, view).slice(0, n), columns: [
			{ key: "service", label: "Service", cell: (row) => [h("a", { href: view.link(`/service/${serviceToPath(row.service)}`) }, row.service), " ", h("span", { class: "muted" }, words.get(row.service) ?? "")] },
			{ key: "values", label: `${DAYS + 1} days`, sort: false, class: "sparks", cell: (row) => spark(row.values, { width: 96, height: 20 }) },
			{ key: "hosts", label: "Hosts", kind: "number" }, { key: "mean", label: "Mean", kind: "number" },
			{ key: "change", label: "Change", kind: "number", of: (row) => (row.mean > 0 ? row.hosts / row.mean - 1 : null), cell: (row) => change(row.hosts, row.mean) },
			{ key: "score", label: "Score", kind: "number" }] };
	},
	note: () => `Days on which sensors listened less than half the time are left out of s; services with fewer than ${HOSTS} hosts are not listed.`,
	...more,
});
