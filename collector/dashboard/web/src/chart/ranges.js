// Ranges on one scale, a row each: thin from least to most, thick where most of it lies.
import { ruleX, ruleY } from "./plot.js";
import { draw, textWidth } from "./base.js";
import { svgScale } from "./lines.js";
import { s } from "../dom.js";

const ROW = 22;

/**
 * @param {object[]} rows  {label, ranges: [{min, max, low, high, colour, value, more}]}
 * @param {number[]} domain  @param {number[]} ticks  values with a line and a number
 */
export function ranges({ width, rows, domain, ticks, unit = "" }) {
	const labelRoom = Math.min(width * 0.36, Math.max(...rows.map((row) => textWidth(row.label, 13)), 40)) + 14;
	const top = 40;
	const height = top + rows.length * ROW + 6;
	const data = rows.flatMap((row, y) => row.ranges.map((range, k) => ({ ...range, y, k })));
	const svg = draw({
		width, height, marginLeft: labelRoom, marginRight: 10, marginTop: top, marginBottom: 6,
		x: { domain, axis: null }, y: { type: "band", domain: rows.map((_, i) => i), axis: null, padding: 0 },
		marks: [ruleX(ticks, { stroke: "var(--grid)" }), ruleY(data, { y: "y", x1: "min", x2: "max", stroke: "var(--axis)", strokeWidth: 1.25 }),
			...data.map((d) => ruleY([d], { y: "y", x1: "low", x2: "high", stroke: d.colour, strokeWidth: 7 }))],
	});
	const X = svgScale(svg, "x");
	if (unit) svg.append(s("text", { x: 0, y: 12, class: "unit" }, unit));
	for (const tick of ticks) svg.append(s("text", { x: X(tick), y: top - 8, class: "column", "text-anchor": "middle" }, tick));
	rows.forEach((row, i) => {
		const y = top + (i + 0.5) * ROW;
		if (i > 0) svg.append(s("line", { x1: 0, x2: width, y1: y - ROW / 2, y2: y - ROW / 2, class: "row-line" }));
		svg.append(s("text", { x: 0, y, dy: "0.35em", class: "bar-label" }, row.label));
	});
	const points = data.map((d) => ({ series: d.y, index: d.k, x: X((d.low + d.high) / 2), y: top + (d.y + 0.5) * ROW, colour: d.colour, head: rows[d.y].label, name: "", value: d.value, more: d.more }));
	return { svg, points, kind: "ranges" };
}
