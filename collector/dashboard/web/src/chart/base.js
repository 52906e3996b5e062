// What all charts share: Plot without the <style> that it puts into each chart (the page's policy forbids it; the rules
// are in chart.css), the look of series, scales, and the hatching that says "nobody listened".
import { plot } from "./plot.js";
import { short } from "../format.js";
import { newId, s } from "../dom.js";

/** Okabe and Ito's colours, each with a dash of its own, so that no series is told by colour alone. */
export const SERIES = 7;
export const colour = (i) => `var(--s${(i % SERIES) + 1})`;
const DASHES = ["none", "7 2.5", "2 2", "9 2.5 2 2.5", "4.5 2", "12 3", "1.5 3"];
export const dash = (i) => DASHES[i % DASHES.length];

/** @return {SVGSVGElement} */
export function draw(options) {
	const svg = plot({ className: "chart", ...options });
	svg.querySelectorAll("style").forEach((style) => style.remove());
	svg.setAttribute("aria-hidden", "true"); // its host speaks for it
	svg.querySelectorAll("a").forEach((a) => a.setAttribute("tabindex", "-1")); // reached by arrow keys and Enter
	return svg;
}

/** A paint for what nobody listened to. @return {string} for the attribute fill */
export function hatch(svg) {
	const id = newId("hatch");
	svg.prepend(s("defs", null, s("pattern", { id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
		s("rect", { width: 5, height: 5, fill: "var(--gap)" }), s("line", { y2: 5, stroke: "var(--gap-line)", "stroke-width": 1.5 }))));
	return `url(#${id})`;
}

/**
 * A scale that begins with 0. "log" keeps 0 in sight, too (symlog, linear below the smallest value's power of ten): what is 0
 * is drawn, as 0.
 */
export function valueScale(values, kind, count = 5) {
	const positive = values.filter((v) => v > 0);
	const max = Math.max(0, ...positive);
	if (kind !== "log" || positive.length === 0) return { type: "linear", domain: [0, max || 1], nice: count, ticks: count };
	const least = Math.floor(Math.log10(Math.min(...positive)) + 1e-9);
	const most = Math.ceil(Math.log10(max) - 1e-9);
	const every = Math.max(1, Math.ceil((most - least) / count));
	const ticks = [0];
	for (let e = least; e <= Math.max(most, least + 1); e += every) ticks.push(10 ** e);
	const top = Math.max(max, 10 ** (least + 1));
	return { type: "symlog", constant: 10 ** least, domain: [0, top], ticks: ticks.filter((v) => v <= top) };
}

export const tickText = (v) => short(v);

/** About how wide a text is, in pixels: only to leave room for it. */
export const textWidth = (text, size = 12) => [...String(text)].reduce((w, c) => w + (/[mwMW@%<>&+=~#]/.test(c) ? 0.86 : /[A-Z0-9]/.test(c) ? 0.66 : /[\sil.,:'|/1]/.test(c) ? 0.34 : 0.56), 0) * size;

/** How high a chart may be: on paper pages are short. */
export const heightFor = (width, wanted) => (document.documentElement.classList.contains("printing") ? Math.min(wanted, 210) : width < 460 ? Math.min(wanted, 240) : wanted);
