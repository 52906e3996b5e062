// Hop counts by sensor region: what was seen, and what sources of the claimed region have there.
import { axisX, dot, gridX, link, ruleY, tickX } from "./plot.js";
import { draw, textWidth } from "./base.js";
import { svgScale } from "./lines.js";
import { s } from "../dom.js";

const ROW = 26;

/** @param {object[]} rows  {label, min, max, seen: hops[] (medians), expected: {low, high}|null, far: whether both are far apart, value, more} */
export function hops({ width, rows }) {
	const left = Math.min(width * 0.3, Math.max(50, ...rows.map((row) => textWidth(row.label, 13)))) + 16;
	const top = 22;
	const values = rows.flatMap((row) => [row.min, row.max, row.expected?.low, row.expected?.high]).filter((v) => v !== null && v !== undefined);
	const data = rows.map((row, i) => ({ ...row, y: i }));
	const height = top + rows.length * ROW + 30;
	const expected = data.filter((d) => d.expected);
	const seen = data.flatMap((d) => d.seen.map((v) => ({ ...d, v })));
	const svg = draw({
		width, height, marginLeft: left, marginRight: 12, marginTop: top, marginBottom: 28,
		x: { domain: [Math.max(0, Math.min(...values) - 1), Math.max(...values) + 1], nice: true }, y: { type: "band", domain: data.map((d) => d.y), axis: null, padding: 0 },
		marks: [
			gridX({ stroke: "var(--grid)", strokeOpacity: 1, ticks: Math.min(12, Math.floor((width - left) / 50)) }),
			axisX({ ticks: Math.min(12, Math.floor((width - left) / 50)), tickSize: 4, label: null, stroke: "var(--axis)", fill: "var(--muted)", fontSize: 11, tickFormat: (v) => (Number.isInteger(v) ? String(v) : "") }),
			ruleY(data, { y: "y", x1: "min", x2: "max", stroke: "var(--s1)", strokeWidth: 3, strokeOpacity: 0.35, strokeLinecap: "round" }),
			link(expected, { x1: (d) => d.expected.low, x2: (d) => d.expected.high, y1: "y", y2: "y", stroke: "var(--ink)", strokeWidth: 1.5 }),
			tickX(expected, { y: "y", x: (d) => (d.expected.low + d.expected.high) / 2, stroke: "var(--ink)", strokeWidth: 2, insetTop: 5, insetBottom: 5 }),
			dot(seen, { y: "y", x: "v", r: 4.5, fill: (d) => (d.far ? "var(--s2)" : "var(--s1)"), stroke: "var(--paper)", strokeWidth: 1 }),
		],
	});
	const X = svgScale(svg, "x");
	svg.append(s("text", { x: left, y: 12, class: "unit" }, "hops (initial TTL less TTL)"));
	data.forEach((d) => {
		const y = top + (d.y + 0.5) * ROW;
		if (d.y > 0) svg.append(s("line", { x1: 0, x2: width, y1: y - ROW / 2, y2: y - ROW / 2, class: "row-line" }));
		svg.append(s("text", { x: 0, y, dy: "0.35em", class: "bar-label" }, d.label));
	});
	const points = data.map((d) => ({ series: 0, index: d.y, x: X(d.seen[0] ?? d.min), y: top + (d.y + 0.5) * ROW, colour: d.far ? "var(--s2)" : "var(--s1)", head: d.label, name: "", value: d.value,
		more: d.more }));
	return { svg, points, kind: "bars", vertical: true };
}
