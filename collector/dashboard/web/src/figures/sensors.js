// Sensors side by side: who listened, what each saw most.
import { timeAxis } from "../axis.js";
import { matrix } from "../chart/matrix.js";
import { h } from "../dom.js";
import { addDays, lengthOf, toDate } from "../days.js";
import { formatDay, number, percent } from "../format.js";
import { serviceToPath } from "../state.js";

/** The ids of sensors by their names as functions return them. */
const idOf = (view, name) => view.ctx.sensors.find((s) => s.name === name || s.public_label === name || String(s.sensor) === name)?.sensor;

/** What a sensor is called on pages. */
export const labelOf = (view, name) => view.ctx.sensors.find((s) => s.name === name)?.public_label ?? name;

/** Sensors behind a row of report.coverage: of a region that is shown only as a whole all, their seconds added up. */
export function sensorsOf(row, view) {
	if (row.sensor) return 1;
	const { regions } = view.ctx;
	const some = row.region === "ZZ" ? regions.filter((r) => !r.shown) : regions.filter((r) => r.region === row.region);
	return Math.max(1, some.reduce((n, r) => n + Number(r.sensors), 0));
}

/** Keys that report.coverage knows. */
export const placeOnly = (filter) => Object.fromEntries(Object.entries(filter).filter(([key]) => ["sensors", "sensor_region", "grp", "home"].includes(key)));

const coverageStep = (view) => (lengthOf(view.period) <= 62 ? "day" : lengthOf(view.period) <= 400 ? "week" : "month");
const secondsOf = (key, end) => (toDate(end) - toDate(key)) / 1000 + 86400;

/** Share of a step that was listened to: of today and of days to come, of what is over. */
function shares(rows, view, unit, of) {
	const axis = timeAxis(rows, view, unit);
	const now = new Date(view.ctx.viewer.as_of ?? Date.now());
	const steps = new Map(axis.keys.map((key, k) => {
		const end = axis.keys[k + 1] ? addDays(axis.keys[k + 1], -1) : key > view.ctx.viewer.today ? key : last(view);
		return [key, { k, whole: secondsOf(key, end) }];
	}));
	const cells = new Map();
	for (const row of rows) {
		const step = steps.get(axis.of(row));
		if (!step) continue;
		const past = Math.max(1, (now - new Date(row.step_start)) / 1000);
		const id = `${of(row)} ${step.k}`;
		const cell = cells.get(id) ?? { seconds: 0, could: 0, packets: null, lost: null, unknown: true };
		cell.could += Math.min(step.whole, past) * sensorsOf(row, view);
		if (row.covered_seconds !== null) {
			cell.seconds += Number(row.covered_seconds);
			cell.unknown = false;
		}
		for (const key of ["packets", "lost"]) if (row[key] !== null) cell[key] = (cell[key] ?? 0) + Number(row[key]);
		cells.set(id, cell);
	}
	return { axis, cells };
}

const last = (view) => (view.ctx.viewer.today < view.period.to ? view.ctx.viewer.today : view.period.to);

/** @param {"sensor"|"region"} by */
export const coverage = ({ by = "sensor", ...more } = {}) => ({
	name: "coverage", title: by === "region" ? "Coverage by region" : "Coverage by sensor", span: 12, height: 240,
	define: "Share of the time in which sensors really listened. Hatched: nobody did, so nothing is known; no chart takes that for calm.",
	calls: (view) => ({ now: { fn: "coverage", period: view.period, filter: placeOnly(view.filter), step: coverageStep(view) } }),
	chart({ now }, view, width) {
		const step = coverageStep(view);
		const of = (row) => (by === "region" || !row.sensor ? row.region : row.sensor);
		const { axis, cells } = shares(now, view, step, of);
		const names = [...new Map(now.map((row) => [of(row), row])).entries()];
		const every = Math.max(1, Math.ceil(axis.keys.length / Math.max(3, Math.floor(width / 90))));
		return matrix({
			width, rowHeight: names.length > 14 ? 18 : 22, maxCell: 40,
			rows: names.map(([name, row]) => ({ label: by === "region" || !row.sensor ? view.regionName(row.region) : labelOf(view, name), sub: by === "region" || !row.sensor ? row.region : row.region,
				href: by === "region" || !row.sensor ? row.region === "ZZ" ? undefined : view.link(`/r/${row.region}`) : idOf(view, name) !== undefined ? view.link(`/sensor/${idOf(view, name)}`) : undefined })),
			columns: axis.keys.map((key, i) => ({ label: i % every === 0 ? formatDay(key).replace(/ \d{4}$/, "") : "", left: true, head: axis.texts[i] })),
			at: (r, c) => {
				const cell = cells.get(`${names[r][0]} ${c}`);
				if (!cell || cell.seconds === 0) return { share: null, value: "no coverage" };
				const share = Math.min(1, cell.seconds / cell.could);
				return { share: share * share * share, value: percent(share), more: [cell.packets !== null && `${number(cell.packets)} packets`, cell.lost ? `${number(cell.lost)} lost` : null].filter(Boolean).join(", ") };
			},
		});
	},
	table: ({ now }) => ({ rows: now, columns: [{ key: "step_start", label: "From", of: (row) => row.step_start }, ...(now[0]?.sensor ? [{ key: "sensor", label: "Sensor" }] : []),
		{ key: "region", label: "Region" }, { key: "covered_seconds", label: "Covered seconds", kind: "number" }, { key: "packets", label: "Packets", kind: "number" },
		{ key: "lost", label: "Lost", kind: "number" }] }),
	...more,
});

const SHOWN = 16;

/** R9, R10: ranks of services at each sensor. */
export const sensorMatrix = ({ n = 10, ...more } = {}) => ({
	name: "services-by-sensor", title: "What each sensor sees most", span: 12, height: 380,
	define: `Rank of each service among the first ${n} of a sensor, by packets. Services that most sensors have in common come first.`,
	calls: (view) => ({ now: { fn: "top_services_by_sensor", period: view.period, filter: view.with({}), n } }),
	empty: ({ now }) => (now.every((row) => row.rank === null) ? "Nothing came to these sensors." : null),
	chart({ now }, view, width) {
		const placeOf = (row) => row.public_label ?? row.sensor ?? (row.region === "ZZ" ? "others" : row.region);
		const places = [...new Map(now.map((row) => [placeOf(row), row])).entries()];
		const ranks = new Map(now.filter((row) => row.rank !== null).map((row) => [`${row.service} ${placeOf(row)}`, row]));
		const seen = new Map();
		for (const row of now) if (row.rank !== null) seen.set(row.service, [...(seen.get(row.service) ?? []), row.rank]);
		const services = [...seen].sort((a, b) => b[1].length - a[1].length || Math.min(...a[1]) - Math.min(...b[1]) || a[1].reduce((x, y) => x + y) - b[1].reduce((x, y) => x + y)).slice(0, SHOWN);
		return matrix({
			width, turned: places.length > 8, maxCell: places.length > 12 ? 40 : 72, rowHeight: 23,
			rows: services.map(([service, list]) => ({ label: service, sub: `${list.length} of ${places.length}`, href: view.link(`/service/${serviceToPath(service)}`) })),
			columns: places.map(([label, row]) => ({ label, href: row.sensor && idOf(view, row.sensor) !== undefined ? view.link(`/sensor/${idOf(view, row.sensor)}`) : row.region === "ZZ" ? undefined : view.link(`/r/${row.region}`) })),
			at: (r, c) => {
				const row = ranks.get(`${services[r][0]} ${places[c][0]}`);
				if (row) return { share: (n - row.rank) / Math.max(1, n - 1), text: String(row.rank), value: `rank ${row.rank}`, more: `${number(row.packets)} packets` };
				const first = places[c][1];
				if (first.rank === null && first.packets === null) return { share: null, value: "no coverage" };
				return {};
			},
		});
	},
	note: ({ now }) => {
		const seen = new Map();
		for (const row of now) if (row.rank !== null) seen.set(row.service, (seen.get(row.service) ?? 0) + 1);
		return seen.size > SHOWN ? `${seen.size - SHOWN} more services are among the first ${n} of a sensor; the table has them.` : null;
	},
	table: ({ now }) => ({ rows: now, columns: [{ key: "public_label", label: "Sensor", of: (row) => row.public_label ?? row.region }, { key: "region", label: "Region" },
		{ key: "domestic", label: "Group", of: (row) => (row.domestic ? "domestic" : "overseas") }, { key: "rank", label: "Rank", kind: "number" }, { key: "service", label: "Service" },
		{ key: "packets", label: "Packets", kind: "number" }] }),
	...more,
});

/** R10, R12: how many sensors saw a service. */
export const commonServices = ({ n = 10, ...more } = {}) => ({
	name: "common-services", title: "Seen widely", span: 6,
	define: `Services among the first ${n} of sensors, and how many sensors saw them at all.`,
	calls: (view) => ({ now: { fn: "common_services", period: view.period, filter: view.with({}), n } }),
	table: ({ now }, view) => ({ sortable: now.length <= 10, rows: now.slice(0, 10), columns: [
		{ key: "service", label: "Service", cell: (row) => h("a", { href: view.link(`/service/${serviceToPath(row.service)}`) }, row.service) },
		{ key: "sensors_in_top_n", label: `Among the first ${n} of`, kind: "number", cell: (row) => `${row.sensors_in_top_n} of ${row.of_sensors}` },
		{ key: "best_rank", label: "Best rank", kind: "number" }, { key: "worst_rank", label: "Worst", kind: "number" },
		{ key: "sensors_seen", label: "Seen by", kind: "number" }, { key: "packets", label: "Packets", kind: "number" }] }),
	note: ({ now }) => (now.length > 10 ? `The first 10 of ${now.length}; the CSV has all.` : null),
	...more,
});

