// A chart as a file that stands alone: colours and fonts inside, with title, definition and source, always in the light scheme.
import { s } from "../dom.js";
import { textWidth } from "./base.js";

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif";
const NAMES = ["ink", "muted", "grid", "axis", "paper", "gap", "gap-line", "heat", "on-heat", "up", "down", "accent", ...Array.from({ length: 7 }, (_, i) => `s${i + 1}`)];
/** Of chart.css, what a chart outside of the page needs. */
const RULES = `text{font-family:${FONT};font-size:12px}
.unit,.rank,.column,.sub,.gap-text,.note{font-size:11px;fill:var(--muted)} .series{font-weight:600} .title{font-size:15px;font-weight:650}
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

/**
 * @param {SVGSVGElement[]} svgs  small multiples have a label in dataset.label, and stand in columns
 * @return {string} the file
 */
export function standalone(svgs, { title, define, source, columns = 1, gap = 0 }) {
	const colours = lightColours();
	const sizes = svgs.map((svg) => ({ width: Number(svg.getAttribute("width")), height: Number(svg.getAttribute("height")) + (svg.dataset.label ? 18 : 0) }));
	const cell = Math.max(...sizes.map((size) => size.width));
	const width = Math.max(320, columns * cell + (columns - 1) * gap);
	const lines = wrap(define, width, 11);
	const notes = wrap(source, width, 11);
	const top = 28 + lines.length * 15 + 8;
	const line = Math.max(...sizes.map((size) => size.height)) + 12;
	const parts = [s("text", { class: "title", x: 0, y: 16 }, title), ...lines.map((words, i) => s("text", { class: "note", x: 0, y: 34 + i * 15 }, words))];
	svgs.forEach((svg, i) => {
		const [x, y] = [(i % columns) * (cell + gap), top + Math.floor(i / columns) * line];
		const copy = svg.cloneNode(true);
		copy.querySelectorAll(".cursor").forEach((node) => node.remove());
		copy.querySelectorAll("a").forEach((a) => a.replaceWith(...a.childNodes));
		const { label } = svg.dataset;
		if (label) parts.push(s("text", { x, y: y + 12, "font-weight": 600 }, label));
		const place = s("g", { transform: `translate(${x},${y + (label ? 18 : 0)})`, "font-size": 11, "text-anchor": copy.getAttribute("text-anchor") });
		place.append(...copy.childNodes);
		parts.push(place);
	});
	const bottom = top + Math.ceil(svgs.length / columns) * line;
	const height = bottom + notes.length * 15;
	const pad = 16;
	const box = { x: -pad, y: -pad, width: width + 2 * pad, height: height + 2 * pad };
	const root = s("svg", { xmlns: "http://www.w3.org/2000/svg", width: box.width, height: box.height, viewBox: `${box.x} ${box.y} ${box.width} ${box.height}`, role: "img",
		fill: "var(--ink)", color: "var(--ink)" },
	s("title", null, title), s("desc", null, `${define} ${source}`), s("style", null, RULES), s("rect", { ...box, fill: "#fff" }), parts,
	notes.map((words, i) => s("text", { class: "note", x: 0, y: bottom + 12 + i * 15 }, words)));
	// No variables in the file: not every program that opens it knows them.
	const text = new XMLSerializer().serializeToString(root);
	return `<?xml version="1.0" encoding="UTF-8"?>\n${text.replace(/var\(--([a-z0-9-]+)\)/g, (all, name) => colours.get(name) || "#18212c")}\n`;
}

function lightColours() {
	const probe = document.createElement("div");
	probe.dataset.theme = "light";
	probe.hidden = true;
	document.body.append(probe);
	const style = getComputedStyle(probe);
	const colours = new Map(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
	probe.remove();
	return colours;
}
