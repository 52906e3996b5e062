// What series need before they are drawn: gaps that stay gaps, and labels that do not cover each other. Pure.

/**
 * Runs of points without a value.
 * @param {Array<number|null>} values
 * @return {[first, last][]} indexes
 */
export function gaps(values) {
	const out = [];
	let first = -1;
	for (let i = 0; i <= values.length; i++) {
		const missing = i < values.length && (values[i] === null || values[i] === undefined || Number.isNaN(values[i]));
		if (missing && first < 0) first = i;
		if (!missing && first >= 0) {
			out.push([first, i - 1]);
			first = -1;
		}
	}
	return out;
}

/** Indexes of points with a value and none beside them: a line does not show them, so they get a dot. */
export function alone(values) {
	const has = (i) => i >= 0 && i < values.length && values[i] !== null && values[i] !== undefined && !Number.isNaN(values[i]);
	return values.map((_, i) => i).filter((i) => has(i) && !has(i - 1) && !has(i + 1));
}

/**
 * Steps at which nobody listened: no series has a value there.
 * @param {Array<Array<number|null>>} series of equal length
 */
export function silence(series) {
	if (series.length === 0) return [];
	return gaps(series[0].map((_, i) => (series.some((s) => s[i] !== null && s[i] !== undefined) ? 1 : null)));
}

/**
 * Rows as series over one common axis: steps that a series has no row for are null, never 0.
 * @param {object[]} rows  @param {string[]} steps  keys of the axis, in order
 * @return {Map<string, Array<number|null>>} by series, in the order of the rows
 */
export function pivot(rows, steps, { step, series, value }) {
	const at = new Map(steps.map((key, i) => [key, i]));
	const out = new Map();
	for (const row of rows) {
		const key = series(row);
		if (!out.has(key)) out.set(key, steps.map(() => null));
		const i = at.get(step(row));
		const v = value(row);
		if (i !== undefined && v !== null && v !== undefined) out.get(key)[i] = Number(v);
	}
	return out;
}

/**
 * Moves labels apart that would cover each other, each as little as possible.
 * @param {number[]} wanted  positions  @return {number[]} positions at least `gap` apart, within [low, high] if that has room
 */
export function spread(wanted, gap, low, high) {
	const order = wanted.map((y, i) => ({ y, i })).sort((a, b) => a.y - b.y || a.i - b.i);
	let blocks = [];
	for (const one of order) {
		blocks.push({ sum: one.y, n: 1, members: [one] });
		for (;;) {
			const [a, b] = blocks.slice(-2);
			if (!b || middle(b, low, high, gap) - middle(a, low, high, gap) >= ((a.n + b.n) / 2) * gap) break;
			blocks.splice(-2, 2, { sum: a.sum + b.sum, n: a.n + b.n, members: [...a.members, ...b.members] });
		}
	}
	const out = new Array(wanted.length);
	for (const block of blocks) {
		const top = middle(block, low, high, gap) - ((block.n - 1) / 2) * gap;
		block.members.forEach((one, k) => { out[one.i] = top + k * gap; });
	}
	return out;
}

function middle(block, low, high, gap) {
	const half = ((block.n - 1) / 2) * gap;
	return Math.max(low + half, Math.min(high - half, block.sum / block.n));
}
