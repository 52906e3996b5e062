// The time axis of a series: which steps there are, where they stand, and how they read.
import { addDays, lengthOf, stepDays, suitableStep, toDate } from "./days.js";
import { formatDay, inZone, offsetOf } from "./format.js";

export const isShort = (step) => step === "15min" || step === "hour";

/** The step of a view for a function that has steps; longer than the one asked for where `least` says so. */
export function stepOf(view, least = null) {
	const step = view.step === "auto" ? suitableStep(view.period) : view.step;
	return least === "day" && isShort(step) ? "day" : step;
}

/**
 * @param {object[]} rows  with step_start (an instant) or day
 * @return {{keys, xs: Date[], texts, of(row) -> key, ticks, interval}} Days and longer are those of the reporting zone. None
 *     lies after today; what has no row is a gap, not 0.
 */
export function timeAxis(rows, view, step) {
	if (!isShort(step)) {
		const last = view.ctx.viewer.today < view.period.to ? view.ctx.viewer.today : view.period.to;
		const keys = stepDays({ from: view.period.from, to: last }, step);
		const cache = new Map();
		const of = (row) => {
			if (row.day) return row.day;
			if (!cache.has(row.step_start)) cache.set(row.step_start, inZone(new Date(row.step_start), view.zone).day);
			return cache.get(row.step_start);
		};
		return { keys, xs: keys.map(toDate), of, ticks: null, interval: 86400000,
			texts: keys.map((day, i) => {
				const end = keys[i + 1] ? addDays(keys[i + 1], -1) : last;
				return stepText(day, end, step) + (end >= view.ctx.viewer.today ? " so far" : "");
			}) };
	}
	const zone = view.tz ?? view.zone;
	const keys = [...new Set(rows.map((row) => row.step_start))].sort((a, b) => new Date(a) - new Date(b));
	const xs = keys.map((key) => new Date(key));
	const local = xs.map((x) => inZone(x, zone));
	const every = [1, 2, 3, 6, 12, 24, 48, 96, 168].find((n) => (lengthOf(view.period) * 24) / n <= 9) ?? 168;
	const values = xs.filter((x, i) => local[i].time.endsWith(":00") && (every < 24 ? Number(local[i].time.slice(0, 2)) % every === 0
		: local[i].time === "00:00" && (Math.round(+toDate(local[i].day) / 86400000) % (every / 24)) === 0));
	return { keys, xs, of: (row) => row.step_start, interval: step === "hour" ? 3600000 : 900000,
		texts: xs.map((x, i) => `${formatDay(local[i].day, true)}, ${local[i].time} (${offsetOf(x, zone)})`),
		ticks: { values, format: (x) => {
			const at = inZone(x, zone);
			return at.time === "00:00" ? formatDay(at.day).replace(/ \d+$/, "") : at.time;
		} } };
}

function stepText(from, to, step) {
	if (step === "day" || from === to) return formatDay(from, true);
	if (step === "month" && from.endsWith("-01") && addDays(to, 1).endsWith("-01")) return formatDay(from).slice(2);
	return `${formatDay(from)} – ${formatDay(to)}`;
}
