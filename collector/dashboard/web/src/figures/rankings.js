// Ranked bars: services, source regions, networks; with the rank before and how it moved.
import { bars } from "../chart/bars.js";
import { number, percent, rankChange } from "../format.js";
import { serviceToPath } from "../state.js";

/** What is compared with: rows of another period, by key. */
const valuesOf = (rows, key, measure) => new Map((rows ?? []).map((row) => [row[key], row[measure]]));

function ranking({ name, title, define, fn, key, label, sub, href, extra = {}, n = 10, span = 6, filter = () => ({}), more = [] }) {
	return {
		name, title, define, span, height: 330,
		calls: (view) => ({
			now: { fn, period: view.period, filter: view.with(filter(view)), n, rank_by: view.measure, ...extra },
			before: view.before && { fn, period: view.before, filter: view.with(filter(view)), n: 1000, rank_by: view.measure, ...extra },
		}),
		empty: ({ now }) => (now.length === 0 ? "Nothing came in this period." : null),
		chart({ now, before }, view, width) {
			const then = valuesOf(before, key, view.measure);
			const all = before ? new Map([...then]) : null;
			return bars({
				width, scale: view.scale, unit: view.measure === "hosts" ? "hosts" : "packets", beforeName: view.beforeName,
				rows: now.map((row) => ({
					key: row[key], rank: row.rank, label: label(row, view), sub: sub?.(row, view), value: row[view.measure], text: `${number(row[view.measure])} · ${percent(row.share)}`,
					before: all ? all.get(row[key]) ?? null : null, beforeText: all ? number(all.get(row[key])) : null, href: href?.(row, view),
					change: "previous_covered" in row ? rankChange(row.rank, row.previous_rank, row.previous_covered) : null,
				})),
			});
		},
		table: ({ now, before }, view) => {
			const then = valuesOf(before, key, view.measure);
			return {
				rows: now,
				columns: [
					{ key: "rank", label: "Rank", kind: "number" },
					{ key, label: title, cell: (row) => label(row, view) }, ...more,
					{ key: "packets", label: "Packets", kind: "number" }, { key: "hosts", label: "Hosts", kind: "number" }, { key: "share", label: "Share", kind: "share" },
					...(now.length > 0 && "previous_rank" in now[0] ? [{ key: "previous_rank", label: "Rank before", kind: "number",
						cell: (row) => rankChange(row.rank, row.previous_rank, row.previous_covered).text.replace("was ", "") }] : []),
					...(before ? [{ key: "compared", label: `${view.measure === "hosts" ? "Hosts" : "Packets"}, ${view.beforeName}`, kind: "number", of: (row) => then.get(row[key]) ?? null }] : []),
				],
			};
		},
	};
}

export const serviceWords = (row) => row.common_name ?? row.name ?? "";

export const servicesRanked = (more = {}) => ranking({
	name: "top-services", title: "Services", fn: "top_services", key: "service", label: (row) => row.service, sub: serviceWords,
	define: (view) => `Services by ${view.measure}; share of all ${view.measure} under the same filter. The rank before is that of the calendar unit or as many days before.`,
	href: (row, view) => view.link(`/service/${serviceToPath(row.service)}`), more: [{ key: "name", label: "Name", of: serviceWords }], ...more,
});
