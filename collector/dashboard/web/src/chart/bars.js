// Ranked bars: rank, name, bar, value, and how the rank moved. A tick on the bar is the value before.
import { draw, colour, textWidth, valueScale } from "./base.js";
import { barX, dot, ruleX, ruleY, tickX } from "./plot.js";
import { svgScale } from "./lines.js";
import { s } from "../dom.js";

const ROW = 27;

/**
 * @param {object[]} rows  {key, rank, label, sub, value, text (value as shown), share (text), before (value), change: rankChange(), href, tip, colour}
 * @param {"linear"|"log"} scale  on a logarithmic scale lengths mislead, so dots are drawn
 */
export function bars({ width, rows, scale = "linear", unit = "", beforeName = "before" }) {
	const narrow = width < 460;
	const changes = !narrow && rows.some((row) => row.change);
	const ranked = rows.some((row) => row.rank);
	const rankRoom = ranked ? 26 : 0;
	const labelRoom = Math.min(width * (narrow ? 0.4 : 0.34), Math.max(60, ...rows.map((row) => textWidth(row.label, 13)
		+ (narrow || !row.sub ? 0 : textWidth(row.sub, 12) + 8)))) + 14;
	// Figures stand below each other, whatever the bars do.
	const valueRoom = Math.max(...rows.map((row) => textWidth(row.text, 12.5)), 30) + 14;
	const shares = rows.some((row) => row.share);
	const shareRoom = shares ? Math.max(54, ...rows.map((row) => textWidth(row.share ?? "", 12) + 12)) : 0;
	const changeRoom = changes ? 116 : 0;
	const marginTop = unit ? 24 : 6;
	const height = marginTop + rows.length * ROW + 6;
	const x = valueScale(rows.flatMap((row) => [row.value ?? 0, row.before ?? 0]), scale);
	const data = rows.map((row, i) => ({ ...row, y: i }));
	const fill = (d) => d.colour ?? colour(0);
	const marks = scale === "log"
		? [ruleY(data, { y: "y", x1: 0, x2: "value", stroke: "var(--grid)" }), ...data.map((d) => dot([d], { y: "y", x: "value", r: 4.5, fill: fill(d) }))]
		: data.map((d) => barX([d], { y: "y", x1: 0, x2: "value", fill: fill(d), insetTop: 6, insetBottom: 6, rx2: 1 }));
	const svg = draw({
		width, height, marginLeft: rankRoom + labelRoom, marginRight: valueRoom + shareRoom + changeRoom + 2, marginTop, marginBottom: 6,
		x: { ...x, ticks: undefined, nice: false, axis: null }, y: { type: "band", domain: data.map((d) => d.y), axis: null, padding: 0 },
		marks: [...marks, tickX(data.filter((d) => d.before !== null && d.before !== undefined), { y: "y", x: "before", stroke: "var(--ink)", strokeWidth: 1.5,
			insetTop: 4, insetBottom: 4 }), ruleX([0], { stroke: "var(--axis)" })],
	});
	const X = svgScale(svg, "x");
	const left = rankRoom + labelRoom;
	if (unit) svg.append(s("text", { x: left, y: 12, class: "unit" }, unit));
	const points = [];
	for (const d of data) {
		const y = marginTop + d.y * ROW + ROW / 2;
		const group = s("g", { class: "bar-row" });
		if (d.y > 0) group.append(s("line", { x1: 0, x2: width, y1: y - ROW / 2, y2: y - ROW / 2, class: "row-line" }));
		if (ranked) group.append(s("text", { x: rankRoom - 8, y, dy: "0.35em", class: "rank", "text-anchor": "end" }, d.rank ?? ""));
		const label = fitted(d, labelRoom - 12, narrow);
		const name = s("text", { x: rankRoom, y, dy: "0.35em", class: "bar-label" }, s("tspan", { class: d.href ? "link" : null }, label.main),
			label.sub ? s("tspan", { dx: 7, class: "sub" }, label.sub) : null);
		group.append(d.href ? s("a", { href: d.href, tabindex: -1 }, name) : name);
		const end = d.value === null || d.value === undefined ? left : X(d.value);
		const right = width - changeRoom - shareRoom - 2;
		group.append(s("text", { x: right, y, dy: "0.35em", class: "bar-value" }, d.text));
		if (shares) group.append(s("text", { x: right + shareRoom, y, dy: "0.35em", class: "bar-share" }, d.share ?? ""));
		if (changes && d.change) group.append(moved(d.change, width - changeRoom + 18, y));
		svg.append(group);
		points.push({ series: 0, index: d.y, x: end, y, href: d.href, colour: fill(d), head: `${d.rank ? `${d.rank}. ` : ""}${d.label}${d.sub ? `, ${d.sub}` : ""}`,
			name: "", value: d.share ? `${d.text} (${d.share})` : d.text, more: [d.tip, d.beforeText && `${beforeName}: ${d.beforeText}`, d.change?.text].filter(Boolean).join(" · ") });
	}
	return { svg, points, kind: "bars", vertical: true };
}

function fitted(d, room, narrow) {
	const cut = (text, width, size) => {
		if (textWidth(text, size) <= width) return text;
		let n = text.length;
		while (n > 1 && textWidth(`${text.slice(0, n)}…`, size) > width) n--;
		return `${text.slice(0, n)}…`;
	};
	const main = cut(d.label, room, 13);
	const left = room - textWidth(main, 13) - 8;
	return { main, sub: narrow || !d.sub || left < 30 ? "" : cut(d.sub, left, 12) };
}

const SIGNS = { up: "▲", down: "▼", same: "=", new: "●", unknown: "" };

/** Up, down and new are told by sign and word; colour only repeats it. */
function moved(change, x, y) {
	return s("text", { x, y, dy: "0.35em", class: `change ${change.kind}` },
		s("tspan", { class: "sign" }, `${SIGNS[change.kind]}${change.by ? ` ${change.by}` : ""}`),
		s("tspan", { x: change.kind === "unknown" ? x : x + 38 }, change.kind === "new" ? "new" : change.kind === "unknown" ? "no data" : change.text));
}
