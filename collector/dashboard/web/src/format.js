// Numbers, days and times as people read them.
import { lengthOf, toDate, unitName } from "./days.js";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const tiny = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
/** What stands where nothing is known: never 0. */
export const NONE = "–";

const known = (x) => x !== null && x !== undefined && !Number.isNaN(Number(x));

/** Counts in full; means with as many digits as they are worth. */
export function number(x) {
	if (!known(x)) return NONE;
	const n = Number(x);
	const size = Math.abs(n);
	if (Number.isInteger(n) || size >= 100) return whole.format(n);
	return size >= 1 ? tenth.format(n) : tiny.format(n);
}

const SUFFIX = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

/** Short, for axes and labels: 1.2k, 34M. */
export function short(x) {
	if (!known(x)) return NONE;
	const n = Number(x);
	const size = Math.abs(n);
	for (const [unit, suffix] of SUFFIX) {
		if (size < unit * 0.9995) continue;
		const scaled = n / unit;
		return `${Math.abs(scaled) < 9.995 ? trim(scaled.toFixed(1)) : whole.format(scaled)}${suffix}`;
	}
	if (size === 0 || size >= 9.995) return whole.format(n);
	return size >= 1 ? trim(n.toFixed(1)) : tiny.format(n);
}

const trim = (text) => text.replace(/\.0+$/, "");

export function percent(share) {
	if (!known(share)) return NONE;
	const p = Number(share) * 100;
	if (p !== 0 && Math.abs(p) < 0.05) return p > 0 ? "<0.1 %" : ">−0.1 %";
	return `${minus(tenth.format(p))} %`;
}

/** A change of x against before, signed: +12.3 %. */
export function change(x, before) {
	if (!known(x) || !known(before) || Number(before) === 0) return NONE;
	const p = (Number(x) / Number(before) - 1) * 100;
	const text = Math.abs(p) >= 999.5 ? `${whole.format(p)} %` : `${tenth.format(p)} %`;
	return p > 0 && !/^0\.0 /.test(text) ? `+${text}` : minus(text.replace(/^-0\.0 /, "0.0 "));
}

const minus = (text) => text.replace("-", "−");

/**
 * How a rank moved.
 * @return {{text, kind}} kind: up, down, same, new, unknown
 */
export function rankChange(rank, before, covered) {
	if (!covered) return { text: "no data before", kind: "unknown" };
	if (!known(before)) return { text: "not seen before", kind: "new" };
	const by = before - rank;
	if (by === 0) return { text: `was ${before}`, kind: "same" };
	return { text: `was ${before}`, kind: by > 0 ? "up" : "down", by: Math.abs(by) };
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const dayParts = (day) => [Number(day.slice(8, 10)), MONTHS[Number(day.slice(5, 7)) - 1], day.slice(0, 4)];

export function formatDay(day, weekday = false) {
	if (!day) return NONE;
	const text = dayParts(day).join(" ");
	return weekday ? `${WEEKDAYS[toDate(day).getUTCDay()]} ${text}` : text;
}

/** "1–27 Nov 2026", "29 Oct – 27 Nov 2026", "Q3 2026", "Nov 2026", "2026". */
export function formatPeriod({ from, to }) {
	const [d1, m1, y1] = dayParts(from);
	const [d2, m2, y2] = dayParts(to);
	switch (unitName({ from, to })) {
	case "year": return y1;
	case "quarter": return `Q${(Number(from.slice(5, 7)) + 2) / 3} ${y1}`;
	case "month": return `${m1} ${y1}`;
	}
	if (from === to) return formatDay(from, true);
	if (y1 !== y2) return `${d1} ${m1} ${y1} – ${d2} ${m2} ${y2}`;
	return m1 === m2 ? `${d1}–${d2} ${m2} ${y2}` : `${d1} ${m1} – ${d2} ${m2} ${y2}`;
}

export function countDays(period) {
	const n = lengthOf(period);
	return n === 1 ? "1 day" : `${whole.format(n)} days`;
}

const zoned = new Map();
const offsets = new Map();

/** @return {{day, time, seconds}} an instant's reading in a zone: "2026-11-27", "20:15", "20:15:03" */
export function inZone(instant, zone) {
	if (!zoned.has(zone)) {
		zoned.set(zone, new Intl.DateTimeFormat("en-CA", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit",
			day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" }));
	}
	const p = {};
	for (const { type, value } of zoned.get(zone).formatToParts(instant)) p[type] = value;
	return { day: `${p.year}-${p.month}-${p.day}`, time: `${p.hour}:${p.minute}`, seconds: `${p.hour}:${p.minute}:${p.second}` };
}

/** "+09:00": the offset of a zone at an instant. */
export function offsetOf(instant, zone) {
	if (!offsets.has(zone)) offsets.set(zone, new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" }));
	const parts = offsets.get(zone).formatToParts(instant);
	return parts.find((p) => p.type === "timeZoneName").value.replace("GMT", "UTC");
}

/** "27 Nov 2026, 20:15 (UTC+09:00)" */
export function formatInstant(text, zone, { seconds = false } = {}) {
	if (!text) return NONE;
	const instant = new Date(text);
	const at = inZone(instant, zone);
	return `${formatDay(at.day)}, ${seconds ? at.seconds : at.time} (${offsetOf(instant, zone)})`;
}

export const STEP_NAMES = { "15min": "15 minutes", hour: "hour", day: "day", week: "week (from Monday)", month: "month" };

export function plural(n, one, many = `${one}s`) {
	return `${number(n)} ${Number(n) === 1 ? one : many}`;
}
