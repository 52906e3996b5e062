// Cells of rows and columns, shaded by value: heat maps, ranks, coverage. And days as a calendar.
import { cell } from "./plot.js";
import { draw, hatch, textWidth } from "./base.js";
import { svgScale } from "./lines.js";
import { s } from "../dom.js";
import { daysBetween, weekOf } from "../days.js";
import { formatDay } from "../format.js";

/** How strong a cell is for a share (0 to 1) of the scale: never so faint that it looks like none. */
export const strength = (share) => 0.1 + 0.9 * Math.min(1, Math.max(0, share));

/**
 * @param {object[]} rows  {label, sub, href}
 * @param {object[]} columns  {label, head: how it reads in tips}; a label of "" is not drawn
 * @param {function} at  (row index, column index) -> {share: 0..1 or null (hatched), text, value, more, href} or null: an empty cell
 */
export function matrix({ width, rows, columns, at, rowHeight = 24, gap = 1, maxCell = 64, turned = false }) {
	const labelRoom = Math.min(width * 0.36, Math.max(...rows.map((r) => textWidth(r.label, 12.5) + (r.sub ? textWidth(r.sub, 11.5) + 8 : 0)), 30)) + 12;
	const wanted = Math.min(maxCell, (width - labelRoom) / columns.length);
	const top = turned ? Math.min(96, 12 + Math.max(...columns.map((c) => textWidth(c.label, 11.5)))) : 22;
	const height = top + rows.length * rowHeight + 4;
	const cells = rows.flatMap((_, r) => columns.map((_, c) => ({ r, c, ...at(r, c) }))).filter((d) => d.share !== undefined);
	const svg = draw({
		width, height, marginLeft: labelRoom, marginRight: Math.max(0, width - labelRoom - wanted * columns.length), marginTop: top, marginBottom: 4,
		x: { type: "band", domain: columns.map((_, i) => i), axis: null, padding: 0, round: false }, y: { type: "band", domain: rows.map((_, i) => i), axis: null, padding: 0, round: false },
		marks: [cell(cells.filter((d) => d.share !== null), { x: "c", y: "r", fill: "var(--heat)", fillOpacity: (d) => strength(d.share), inset: gap / 2 })],
	});
	const X = svgScale(svg, "x");
	const Y = svgScale(svg, "y");
	const [size, tall] = [X.bandwidth, Y.bandwidth];
	const paint = hatch(svg);
	const lay = s("g", null);
	rows.forEach((row, r) => {
		const y = Y(r) + tall / 2;
		const name = s("text", { x: 0, y, dy: "0.35em", class: "bar-label" }, s("tspan", { class: row.href ? "link" : null }, row.label),
			row.sub ? s("tspan", { dx: 7, class: "sub" }, row.sub) : null);
		lay.append(row.href ? s("a", { href: row.href, tabindex: -1 }, name) : name);
	});
	columns.forEach((column, c) => {
		if (column.label === "") return;
		const x = X(c) + (column.left && !turned ? 0 : size / 2);
		const label = s("text", turned ? { transform: `translate(${x},${top - 6}) rotate(-60)`, class: "column", dy: "0.35em", "text-anchor": "start" }
			: { x, y: top - 8, class: "column", "text-anchor": column.left ? "start" : "middle" }, column.label);
		lay.append(column.href ? s("a", { href: column.href, tabindex: -1 }, label) : label);
	});
	const points = cells.map((d) => {
		const x = X(d.c) + size / 2;
		const y = Y(d.r) + tall / 2;
		if (d.share === null) lay.append(s("rect", { x: x - size / 2 + gap / 2, y: y - tall / 2 + gap / 2, width: Math.max(1, size - gap), height: tall - gap, fill: paint }));
		if (d.text && textWidth(d.text, 11) < size - 2) {
			lay.append(s("text", { x, y, dy: "0.35em", "text-anchor": "middle", class: d.share !== null && strength(d.share) > 0.55 ? "in-cell strong" : "in-cell" }, d.text));
		}
		return { series: d.r, index: d.c, x, y, head: rows[d.r].label + (columns[d.c].head ?? columns[d.c].label ? ` · ${columns[d.c].head ?? columns[d.c].label}` : ""),
			name: "", value: d.value, more: d.more ?? "", href: d.href ?? rows[d.r].href, box: [size, tall] };
	});
	svg.append(lay);
	return { svg, points, kind: "matrix" };
}

/** The year where it begins, and with the first month if there is room. */
function monthLabel(day, first, size) {
	const [, name, year] = formatDay(day).split(" ");
	if (size > 14) return first || name === "Jan" ? `${name} ${year}` : name;
	return name === "Jan" ? `Jan ’${year.slice(2)}` : name;
}

const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/**
 * A day a cell, weeks from left to right, Monday on top; a long period wraps into lines.
 * @param {object[]} days  {day, share, value, more, marked}, in order
 * @param {object[]} means  {share, text} of Monday to Sunday, beside the weeks where there is room; optional
 */
export function calendar({ width, days, means = null }) {
	const left = 34;
	const first = weekOf(days[0].day);
	const weeks = Math.floor(daysBetween(first, days[days.length - 1].day) / 7) + 1;
	const size = Math.max(11, Math.min(30, Math.floor((width - left) / Math.min(Math.max(weeks, 8), 53))));
	const perLine = Math.max(1, Math.floor((width - left) / size));
	const linesOf = Math.ceil(weeks / perLine);
	const lineHeight = 7 * size + 30;
	const data = days.map((d) => {
		const n = daysBetween(first, d.day);
		const week = Math.floor(n / 7);
		return { ...d, x: left + (week % perLine) * size, y: 20 + Math.floor(week / perLine) * lineHeight + (n % 7) * size, week, weekday: n % 7 };
	});
	const svg = s("svg", { class: "chart", width, height: linesOf * lineHeight, viewBox: `0 0 ${width} ${linesOf * lineHeight}`, "aria-hidden": "true", fill: "currentColor" });
	const paint = hatch(svg);
	for (let line = 0; line < linesOf; line++) {
		WEEKDAYS.forEach((name, i) => {
			if (i % 2 === 0) svg.append(s("text", { x: 0, y: 20 + line * lineHeight + (i + 0.5) * size, dy: "0.35em", "text-anchor": "start", class: i > 4 ? "column weekend" : "column" }, name));
		});
	}
	let month = "";
	for (const d of data) {
		if (d.day.slice(0, 7) !== month && (d.day.slice(8) <= "07" || month === "") && (month !== "" || d.day.slice(8) < "22")) {
			svg.append(s("text", { x: d.x, y: d.y - d.weekday * size - 7, class: "column", "text-anchor": "start" }, monthLabel(d.day, month === "", size)));
			month = d.day.slice(0, 7);
		}
		const box = { x: d.x + 0.75, y: d.y + 0.75, width: size - 1.5, height: size - 1.5, rx: 1.5 };
		svg.append(s("rect", { ...box, class: "cell-ground" }));
		svg.append(s("rect", d.share === null ? { ...box, fill: paint } : { ...box, fill: "var(--heat)", "fill-opacity": d.share === 0 ? 0 : strength(d.share) }));
		if (d.marked) svg.append(s("rect", { ...box, class: "marked" }));
	}
	const beside = left + Math.min(weeks, perLine) * size + 24;
	if (means && linesOf === 1 && width - beside > 130) {
		const room = width - beside - 50;
		svg.append(s("text", { x: beside, y: 13, class: "unit" }, "mean of the weekday"));
		means.forEach((mean, i) => {
			const y = 20 + i * size;
			if (mean.share === null) return;
			svg.append(s("rect", { x: beside, y: y + 3, width: Math.max(1, mean.share * room), height: size - 6, fill: "var(--s1)" }),
				s("text", { x: beside + mean.share * room + 6, y: y + size / 2, dy: "0.35em", class: "column" }, mean.text));
		});
	}
	const points = data.map((d) => ({ series: d.weekday, index: d.week, x: d.x + size / 2, y: d.y + size / 2, head: formatDay(d.day, true), name: "", value: d.value,
		more: d.more ?? "", href: d.href, box: [size, size] }));
	return { svg, points, kind: "matrix" };
}

