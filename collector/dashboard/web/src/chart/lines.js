// Lines over time. Where a series has no value its line stops; where none has, the time is hatched.
import { axisX, axisY, dot, gridY, lineY, rect, ruleY, text } from "./plot.js";
import { colour, dash, draw, hatch, textWidth, tickText, valueScale } from "./base.js";
import { alone, silence, spread } from "./series.js";
import { s } from "../dom.js";

/**
 * @param {number} width, height  pixels
 * @param {Date[]} xs  where each step is
 * @param {string[]} xTexts  how each step reads in tips
 * @param {object[]} series  {name, values, before: values of the period compared with, href, colour, dash, quiet}
 * @param {"linear"|"log"} scale
 * @param {string} unit  what is counted, above the axis
 * @param {function} say  value -> text
 * @param {object} ticks  {values: Date[], format} for the axis; without: days
 * @param {number[]} all  values that the scale must hold, too: of small multiples that share it
 * @param {string} missing  what it means where a series has no value, if that is not that nobody listened: then nothing is hatched
 * @return {{svg, points}} points: where keys and pointer may go, by series and step
 */
export function lines({ width, height, xs, xTexts, series, scale = "linear", unit = "", say, ticks = null, all = [], labels = true,
	beforeName = "before", interval = null, missing = null }) {
	const narrow = width < 460;
	const room = labels ? Math.min(narrow ? 96 : 170, Math.max(...series.map((one) => textWidth(one.name, 12) + 14), 20)) : 8;
	const values = series.flatMap((one) => [...one.values, ...(one.before ?? []), ...(one.high ?? [])]).concat(all)
		.filter((v) => v !== null && v !== undefined);
	const y = valueScale(values, scale, height < 150 ? 3 : 5);
	const yTicks = y.ticks;
	const marginLeft = 14 + Math.max(18, ...[y.domain[1], y.domain[1] / 2].map((v) => textWidth(tickText(v), 11)));
	const marks = [
		gridY({ ticks: yTicks, stroke: "var(--grid)", strokeOpacity: 1 }),
		axisY({ ticks: yTicks, tickFormat: tickText, tickSize: 0, label: null, fill: "var(--muted)", fontSize: 11, tickPadding: 6 }),
		axisX({ ticks: ticks ? ticks.values : Math.max(2, Math.floor((width - marginLeft - room) / (narrow ? 48 : 90))),
			...(ticks && { tickFormat: ticks.format }), tickSize: 4, label: null, stroke: "var(--axis)", fill: "var(--muted)", fontSize: 11 }),
		ruleY([0], { stroke: "var(--axis)" }),
	];
	const table = (one, list) => xs.map((x, i) => ({ x, v: list[i] ?? NaN }));
	for (const [i, one] of series.entries()) {
		const look = { stroke: one.colour ?? colour(i), strokeDasharray: one.dash ?? dash(i) };
		if (one.low) {
			marks.push(rect(xs.map((x, k) => ({ x, low: one.low[k], high: one.high[k], next: xs[k + 1] ?? x })).filter((d) => d.low !== null && d.low !== undefined),
				{ x1: "x", x2: "next", y1: "low", y2: "high", fill: look.stroke, fillOpacity: 0.14 }));
		}
		if (one.before) {
			marks.push(lineY(table(one, one.before), { x: "x", y: "v", ...look, strokeDasharray: "none", strokeWidth: 1, strokeOpacity: 0.55, clip: true }));
		}
		marks.push(lineY(table(one, one.values), { x: "x", y: "v", ...look, strokeWidth: one.quiet ? 1.25 : 1.9, strokeLinejoin: "round" }));
		const single = alone(one.values);
		if (single.length > 0) marks.push(dot(single, { x: (k) => xs[k], y: (k) => one.values[k], r: 2.2, fill: look.stroke }));
	}
	const end = xs[xs.length - 1] ?? new Date(0);
	const span = interval ?? (xs.length > 1 ? xs[1] - xs[0] : 86400000);
	const svg = draw({
		width, height, marginLeft, marginRight: room + (labels ? 6 : 0), marginTop: unit ? 26 : 10, marginBottom: 34,
		x: { type: "utc", domain: xs.length > 1 ? [xs[0], end] : [xs[0], new Date(+end + span)] },
		y: { ...y, ticks: undefined }, marks,
	});
	const X = svgScale(svg, "x");
	const Y = svgScale(svg, "y");
	const [left, right] = [X(xs[0]), X(xs.length > 1 ? end : new Date(+end + span))];
	const [bottom, top] = [Y(y.domain[0]), Y(Y.domain[1])];
	if (unit) svg.append(s("text", { x: 0, y: 12, class: "unit" }, unit));
	if (missing === null) drawSilence(svg, silence(series.map((one) => one.values)), xs, X, { left, right, top, bottom });
	if (labels) labelEnds(svg, series, xs, X, Y, { right, top, bottom, narrow });
	const points = series.flatMap((one, i) => one.values.map((v, k) => ({
		series: i, index: k, x: X(xs[k]), y: v === null || v === undefined ? null : Y(v), colour: one.colour ?? colour(i), href: one.href,
		head: xTexts[k], name: one.name, value: v === null || v === undefined ? missing ?? "no coverage" : say(v),
		more: one.before && one.before[k] !== undefined && one.before[k] !== null ? `${beforeName}: ${say(one.before[k])}` : one.notes?.[k] ?? "",
	})));
	return { svg, points, frame: { left, right, top, bottom }, kind: "lines" };
}

/** The scale that Plot made, as a function with its domain. */
export function svgScale(svg, name) {
	const scale = svg.scale ? svg.scale(name) : null;
	const f = (v) => scale.apply(v);
	f.domain = scale.domain;
	f.bandwidth = scale.bandwidth ?? 0;
	return f;
}

function drawSilence(svg, runs, xs, X, { left, right, top, bottom }) {
	if (runs.length === 0) return;
	const paint = hatch(svg);
	const first = svg.querySelector("g");
	for (const [a, b] of runs) {
		const x1 = a === 0 ? left : (X(xs[a - 1]) + X(xs[a])) / 2;
		const x2 = b === xs.length - 1 ? right : (X(xs[b]) + X(xs[b + 1])) / 2;
		const width = Math.max(2, x2 - x1);
		svg.insertBefore(s("rect", { x: x1, y: top, width, height: bottom - top, fill: paint, class: "gap" }), first);
		if (width > 74) svg.append(s("text", { x: x1 + width / 2, y: top + 13, class: "gap-text", "text-anchor": "middle" }, "no coverage"));
	}
}

function labelEnds(svg, series, xs, X, Y, { right, top, bottom, narrow }) {
	const named = series.map((one, i) => {
		let k = one.values.length - 1;
		while (k >= 0 && (one.values[k] === null || one.values[k] === undefined)) k--;
		return { one, i, y: k < 0 ? null : Y(one.values[k]), x: k < 0 ? null : X(xs[k]) };
	}).filter((d) => d.y !== null);
	const places = spread(named.map((d) => d.y), 14, top + 4, bottom - 2);
	const group = s("g", { class: "labels" });
	named.forEach((d, k) => {
		if (Math.abs(places[k] - d.y) > 3 || right - d.x > 6) {
			group.append(s("path", { d: `M${d.x + 2},${d.y}L${right + 7},${places[k]}`, class: "leader", stroke: d.one.colour ?? colour(d.i) }));
		}
		const words = narrow && d.one.name.length > 13 ? `${d.one.name.slice(0, 12)}…` : d.one.name;
		const label = s("text", { x: right + 10, y: places[k], dy: "0.35em", fill: d.one.colour ?? colour(d.i), class: "series" }, words);
		group.append(d.one.href ? s("a", { href: d.one.href, tabindex: -1 }, label) : label);
	});
	svg.append(group);
}
