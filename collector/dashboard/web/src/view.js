// A view: what the address says, with everything that figures need to ask and to write.
import { previous, yearBefore } from "./days.js";
import { formatDay, formatInstant, formatPeriod } from "./format.js";
import { FILTER_KEYS, formatState } from "./state.js";

const PLACES = ["sensors", "sensor_region", "grp"];

/** Keys of the filter that a link drops, because the page it leads to sets them. */
function setBy(path) {
	if (/^\/(r|sensor)\//.test(path)) return PLACES;
	if (path.startsWith("/service/")) return ["services", "ports_only"];
	if (/^\/(source|quarter)\//.test(path)) return Object.keys(FILTER_KEYS); // has no filter
	if (path.startsWith("/network/")) return ["sources", "networks", "network_group", "asn", "organization", "src_region"];
	return [];
}

/**
 * @param {object} state  of parseState(), with a period
 * @param {object} fixed  the filter that the page itself sets
 * @param {object} ctx  {viewer, sensors, regions}
 */
export function makeView(path, state, fixed, ctx) {
	const period = { from: state.from, to: state.to };
	const before = state.cmp === "previous" ? previous(period) : state.cmp === "year" ? yearBefore(period) : null;
	const self = {
		path, state, ctx, period, before,
		beforeName: before ? formatPeriod(before) : "",
		measure: state.measure, scale: state.scale, cmp: state.cmp, step: state.step, tz: state.tz,
		zone: ctx.viewer.zone,
		filter: { ...state.filter, ...fixed },
		/** The page's and the address's filter with more keys; a key that is undefined is left out. */
		with: (more) => Object.fromEntries(Object.entries({ ...state.filter, ...fixed, ...more }).filter(([, v]) => v !== undefined)),
		/** An address that keeps the period, the measure and what else was chosen. */
		link(to, more = {}) {
			const filter = { ...state.filter };
			for (const key of setBy(to)) delete filter[key];
			return to + formatState({ ...state, ...more, filter: { ...filter, ...more.filter } });
		},
		/** This page's query with other values. */
		query: (more) => formatState({ ...state, ...more }),
		regionName: (code) => ctx.names.get(code) ?? code,
		/** This view with other choices and more keys of the filter, for a figure that has its own; links stay those of the page. */
		vary: (choices, filter = {}) => ({ ...makeView(path, { ...state, ...choices }, { ...fixed, ...filter }, ctx), link: self.link, query: self.query }),
		/** For files: where the numbers come from, and what was asked for. */
		source(answers, asked = { period, filter: self.filter }) {
			const rows = Object.values(answers ?? {}).flatMap((a) => a?.rows?.[0] ?? []);
			const asOf = rows.map((r) => r.as_of).find(Boolean) ?? ctx.viewer.as_of;
			const dataset = rows.map((r) => r.dataset).find(Boolean) ?? ctx.viewer.dataset;
			const filter = Object.entries(asked.filter ?? {}).map(([k, v]) => `${k} = ${[v].flat().join(", ")}`).join("; ");
			return `Hirundo. ${formatDay(asked.period.from)} to ${formatDay(asked.period.to)}, days of ${ctx.viewer.zone}.${filter ? ` Filter: ${filter}.` : ""} As of ${formatInstant(asOf,
				ctx.viewer.zone)}. Address data: ${dataset ?? "none"}.`;
		},
	};
	return self;
}
