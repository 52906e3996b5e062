// Reporting days as text ("2026-11-27"), counted in UTC so that the browser's own zone never matters.
// Periods are {from, to}, both days in them.

const DAY_MS = 86400000;

export const toDate = (day) => new Date(`${day}T00:00:00Z`);
export const toDay = (date) => date.toISOString().slice(0, 10);

export function isDay(text) {
	if (!/^\d{4}-\d\d-\d\d$/.test(text ?? "")) return false;
	const date = toDate(text);
	return !Number.isNaN(date.getTime()) && toDay(date) === text;
}

export const addDays = (day, n) => toDay(new Date(toDate(day).getTime() + n * DAY_MS));
export const daysBetween = (from, to) => Math.round((toDate(to) - toDate(from)) / DAY_MS);
export const lengthOf = (period) => daysBetween(period.from, period.to) + 1;

/** Monday of the day's week. */
export const weekOf = (day) => addDays(day, -((toDate(day).getUTCDay() + 6) % 7));

/** First day of the month that lies n months after the day's. */
export function monthOf(day, n = 0) {
	const [year, month] = day.split("-").map(Number);
	return toDay(new Date(Date.UTC(year, month - 1 + n, 1)));
}

const quarterOf = (day, n = 0) => monthOf(day, n * 3 - ((Number(day.slice(5, 7)) - 1) % 3));
const yearOf = (day, n = 0) => `${String(Number(day.slice(0, 4)) + n).padStart(4, "0")}-01-01`;
const unit = (start, day, n) => ({ from: start(day, n), to: addDays(start(day, n + 1), -1) });

const UNITS = [["month", monthOf], ["quarter", quarterOf], ["year", yearOf]];

/** @return {[name, start]|undefined} the calendar unit that a period is exactly */
function unitOf(period) {
	return UNITS.find(([, start]) => start(period.from) === period.from && addDays(start(period.from, 1), -1) === period.to);
}

export const unitName = (period) => unitOf(period)?.[0] ?? null;

/** As reports define it: the calendar unit before where the period is one, else as many days before it. */
export function previous(period) {
	const found = unitOf(period);
	if (found) return unit(found[1], period.from, -1);
	return { from: addDays(period.from, -lengthOf(period)), to: addDays(period.from, -1) };
}

/** What follows: the inverse of previous(). */
export function next(period) {
	const found = unitOf(period);
	if (found) return unit(found[1], period.from, 1);
	return { from: addDays(period.to, 1), to: addDays(period.to, lengthOf(period)) };
}

function shiftYear(day, n) {
	const moved = `${String(Number(day.slice(0, 4)) + n).padStart(4, "0")}${day.slice(4)}`;
	return isDay(moved) ? moved : addDays(`${moved.slice(0, 8)}01`, 27); // 29 February: the 28th
}

/** The same dates a year before; of a whole month the whole month. */
export function yearBefore(period) {
	const found = unitOf(period);
	if (found) return unit(found[1], shiftYear(period.from, -1), 0);
	return { from: shiftYear(period.from, -1), to: shiftYear(period.to, -1) };
}

/** Presets: [id, label, period], for the reporting day `today`. Those of N days end yesterday: days that are complete. */
export function presets(today) {
	const last = addDays(today, -1);
	const back = (n) => ({ from: addDays(today, -n), to: last });
	return [
		["today", "Today so far", { from: today, to: today }],
		["yesterday", "Yesterday", back(1)],
		["7d", "Last 7 days", back(7)],
		["30d", "Last 30 days", back(30)],
		["90d", "Last 90 days", back(90)],
		["365d", "Last 365 days", back(365)],
		["month", "This month", { from: monthOf(today), to: today }],
		["quarter", "This quarter", { from: quarterOf(today), to: today }],
		["year", "This year", { from: yearOf(today), to: today }],
		["month-1", "Last month", unit(monthOf, today, -1)],
		["quarter-1", "Last quarter", unit(quarterOf, today, -1)],
		["year-1", "Last year", unit(yearOf, today, -1)],
	];
}

/** "2026Q3": the quarter before that of a day, the last one that is over. */
export function lastQuarter(day) {
	const { from } = unit(quarterOf, day, -1);
	return `${from.slice(0, 4)}Q${(Number(from.slice(5, 7)) + 2) / 3}`;
}

/** @return {{from, to}} all days of quarter 1 to 4 of a year */
export const quarterPeriod = (year, n) => unit(quarterOf, `${year}-${String(n * 3).padStart(2, "0")}-01`, 0);

export const STEPS = ["15min", "hour", "day", "week", "month"];

/** The step that suits a period's length: some 30 to 120 points. */
export function suitableStep(period) {
	const n = lengthOf(period);
	if (n <= 1) return "hour";
	if (n <= 120) return "day";
	if (n <= 760) return "week";
	return "month";
}

/** First days of the steps of a period, as reports cut it: the first begins with the period. For day, week and month. */
export function stepDays(period, step) {
	const out = [];
	for (let day = period.from; day <= period.to;) {
		out.push(day);
		if (step === "week") day = addDays(weekOf(day), 7);
		else if (step === "month") day = monthOf(day, 1);
		else day = addDays(day, 1);
	}
	return out;
}
