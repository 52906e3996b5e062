// R18: on which days something is active, week by week.
import { calendar } from "../chart/matrix.js";
import { number, short } from "../format.js";

export const activity = ({ ...more } = {}) => ({
	name: "activity-calendar", title: "Days of activity", span: 6, height: 220,
	define: (view) => `${view.measure === "hosts" ? "Hosts" : "Packets"} of each reporting day, weeks from Monday: weekends and ends of months show. Hatched: nobody listened.`,
	calls: (view) => ({ now: { fn: "activity_calendar", period: view.period, filter: view.with({}) } }),
	empty: ({ now }) => (now.every((row) => row.hosts === null) ? "No sensor listened in this period." : null),
	chart({ now }, view, width) {
		const column = view.measure;
		const max = Math.max(...now.map((row) => row[column] ?? 0), 1);
		const of = (v) => (view.scale === "log" ? Math.log1p(v) / Math.log1p(max) : v / max);
		const weekdays = byWeekday(now, column);
		const most = Math.max(...weekdays.map((w) => w.mean ?? 0), 1);
		return calendar({ width, means: weekdays.map((w) => ({ share: w.mean === null ? null : w.mean / most, text: short(w.mean) })), days: now.map((row) => ({ day: row.day, share: row[column] === null ? null : of(row[column]), value: row[column] === null ? "no coverage" : `${number(row[column])} ${column}`,
			more: row[column] === null ? "" : `${number(column === "hosts" ? row.packets : row.hosts)} ${column === "hosts" ? "packets" : "hosts"}` })) });
	},
	table: ({ now }) => ({ rows: now, columns: [{ key: "day", label: "Day", kind: "day" }, { key: "weekday", label: "Weekday" }, { key: "packets", label: "Packets", kind: "number" },
		{ key: "hosts", label: "Hosts", kind: "number" }, { key: "active", label: "Active", of: (row) => (row.active === null ? "not known" : row.active ? "yes" : "no") },
		{ key: "covered", label: "Covered", kind: "share" }] }),
	...more,
});

const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/** Means by weekday, of the days that were listened to: what the weeks have in common. */
export function byWeekday(rows, column) {
	return WEEKDAYS.map((name) => {
		const list = rows.filter((row) => row.weekday === name && row[column] !== null).map((row) => row[column]);
		return { weekday: name, days: list.length, mean: list.length === 0 ? null : list.reduce((a, b) => a + b, 0) / list.length };
	});
}

