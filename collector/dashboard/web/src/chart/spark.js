// A line as small as a word, for tables.
import { s } from "../dom.js";
import { alone, gaps } from "./series.js";

/** @param {Array<number|null>} values  @param {number} max  top of the scale: rows that stand below each other may share it */
export function spark(values, { width = 120, height = 26, max = null } = {}) {
	const top = max ?? Math.max(...values.filter((v) => v !== null), 0);
	const x = (i) => 1 + (values.length > 1 ? (i / (values.length - 1)) * (width - 5) : 0);
	const y = (v) => height - 2 - (top > 0 ? (v / top) * (height - 5) : 0);
	const svg = s("svg", { class: "spark", width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
	for (const [a, b] of gaps(values)) {
		const x1 = a === 0 ? 0 : x(a - 0.5);
		svg.append(s("rect", { x: x1, y: 1, width: Math.max(1.5, (b === values.length - 1 ? width : x(b + 0.5)) - x1), height: height - 2, class: "gap" }));
	}
	let path = "";
	values.forEach((v, i) => {
		if (v !== null) path += `${i === 0 || values[i - 1] === null ? "M" : "L"}${x(i).toFixed(1)},${y(v).toFixed(1)}`;
	});
	svg.append(s("path", { d: path }));
	for (const i of alone(values)) svg.append(s("circle", { cx: x(i), cy: y(values[i]), r: 1.5 }));
	const last = values.length - 1;
	if (values[last] !== null && values[last] !== undefined) svg.append(s("circle", { cx: x(last), cy: y(values[last]), r: 2 }));
	return svg;
}
