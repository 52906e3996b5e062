// A chart as a file that stands alone: colours and fonts inside, with title, definition and source, always in the light scheme.
import { s } from "../dom.js";
import { textWidth } from "./base.js";

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif";
const NAMES = ["ink", "muted", "grid", "axis", "paper", "gap", "gap-line", "heat", "on-heat", "up", "down", "accent", ...Array.from({ length: 7 }, (_, i) => `s${i + 1}`)];
/** Of chart.css, what a chart outside of the page needs. */
const RULES = `text{font-family:${FONT};font-size:12px;fill:#1b2430}
.unit,.rank,.column,.sub,.gap-text,.note{font-size:11px;fill:var(--muted)} .series{font-weight:600;fill:inherit} .title{font-size:15px;font-weight:650}
.bar-label{font-size:13px} .bar-value{font-weight:600;text-anchor:end} .bar-share{fill:var(--muted);text-anchor:end} .bar-label,.change,.unit,.series{text-anchor:start} .in-cell{font-size:11px} .in-cell.strong{fill:var(--on-heat)} .change{font-size:11.5px;fill:var(--muted)}
.change.up .sign{fill:var(--up)} .change.down .sign{fill:var(--down)} .row-line{stroke:var(--grid)} .leader{fill:none;stroke-width:.75;opacity:.6}
.marked{fill:none;stroke:var(--accent);stroke-width:1.5} .cell-ground{fill:var(--grid);fill-opacity:.5}`;

/** @return {string[]} lines of at most `width` pixels */
export function wrap(text, width, size) {
	const out = [""];
	for (const word of text.split(" ")) {
		const line = out[out.length - 1];
		if (line !== "" && textWidth(`${line} ${word}`, size) > width) out.push(word);
		else out[out.length - 1] = line === "" ? word : `${line} ${word}`;
	}
	return out;
}

/** @return {string} the file */
export function standalone(svgs, { title, define, source }) {
	const list = [svgs].flat();
	const probe = document.createElement("div");
	probe.dataset.theme = "light";
	probe.hidden = true;
	document.body.append(probe);
	const style = getComputedStyle(probe);
	const colours = new Map(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
	probe.remove();
	const width = Math.max(...list.map((svg) => Number(svg.getAttribute("width"))), 320);
	const lines = [...wrap(define, width, 11)];
	const notes = wrap(source, width, 11);
	let y = 28 + lines.length * 15 + 8;
	const head = [s("text", { class: "title", x: 0, y: 16 }, title), ...lines.map((line, i) => s("text", { class: "note", x: 0, y: 34 + i * 15 }, line))];
	const bodies = list.map((svg) => {
		const copy = svg.cloneNode(true);
		copy.querySelectorAll(".cursor").forEach((node) => node.remove());
		copy.querySelectorAll("a").forEach((a) => a.replaceWith(...a.childNodes));
		const label = svg.dataset.label;
		if (label) {
			head.push(s("text", { x: 0, y: y + 12, "font-weight": 600 }, label));
			y += 18;
		}
		const place = s("g", { transform: `translate(0,${y})`, "font-family": FONT, "font-size": 11, "text-anchor": copy.getAttribute("text-anchor") });
		place.append(...copy.childNodes);
		y += Number(svg.getAttribute("height")) + 8;
		return place;
	});
	const height = y + 12 + notes.length * 15;
	const pad = 16;
	const root = s("svg", { xmlns: "http://www.w3.org/2000/svg", width: width + 2 * pad, height: height + 2 * pad,
		viewBox: `${-pad} ${-pad} ${width + 2 * pad} ${height + 2 * pad}`, role: "img" },
	s("title", null, title), s("desc", null, `${define} ${source}`), s("style", null, RULES),
	s("rect", { x: -pad, y: -pad, width: width + 2 * pad, height: height + 2 * pad, fill: "#fff" }), head, bodies,
	notes.map((line, i) => s("text", { class: "note", x: 0, y: y + 12 + i * 15 }, line)));
	// No variables in the file: not every program that opens it knows them.
	const text = new XMLSerializer().serializeToString(root);
	return `<?xml version="1.0" encoding="UTF-8"?>\n${text.replace(/var\(--([a-z0-9-]+)\)/g, (all, name) => colours.get(name) || "#1b2430")}\n`;
}
