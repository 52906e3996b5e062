// Holds one chart: tips for the pointer, arrow keys for the keyboard, words for the screen reader.
import { h, replace, s } from "../dom.js";

/** The point nearest to a place; lines by step first, then by height. @return index or -1 */
export function nearest(points, x, y, kind) {
	let best = -1;
	let least = Infinity;
	points.forEach((p, i) => {
		let d;
		if (kind === "lines") d = p.y === null ? Math.abs(p.x - x) * 1000 + 500 : Math.abs(p.x - x) * 1000 + Math.abs(p.y - y);
		else if (kind === "bars") d = Math.abs(p.y - y);
		else d = Math.hypot(p.x - x, p.y - y);
		if (d < least) {
			least = d;
			best = i;
		}
	});
	if (kind === "matrix" && best >= 0 && points[best].box) {
		const [w, t] = points[best].box;
		if (Math.abs(points[best].x - x) > w || Math.abs(points[best].y - y) > t) return -1;
	}
	return best;
}

/**
 * Where an arrow key leads from a point.
 * @param {object[]} points  with series and index  @return index of a point
 */
export function step(points, at, key, vertical) {
	if (at < 0) return points.length > 0 ? 0 : -1;
	const here = points[at];
	const row = points.map((p, i) => [p, i]).filter(([p]) => p.series === here.series).sort(([a], [b]) => a.index - b.index).map(([, i]) => i);
	const place = row.indexOf(at);
	const pick = (i) => row[Math.max(0, Math.min(row.length - 1, i))];
	if (vertical && (key === "ArrowUp" || key === "ArrowDown")) return pick(place + (key === "ArrowDown" ? 1 : -1));
	switch (key) {
	case "ArrowRight": return pick(place + 1);
	case "ArrowLeft": return pick(place - 1);
	case "PageDown": return pick(place + 10);
	case "PageUp": return pick(place - 10);
	case "Home": return row[0];
	case "End": return row[row.length - 1];
	case "ArrowDown":
	case "ArrowUp": {
		const names = [...new Set(points.map((p) => p.series))].sort((a, b) => a - b);
		const next = names[names.indexOf(here.series) + (key === "ArrowDown" ? 1 : -1)];
		if (next === undefined) return at;
		const others = points.map((p, i) => [p, i]).filter(([p]) => p.series === next);
		return others.reduce((a, b) => (Math.abs(b[0].index - here.index) < Math.abs(a[0].index - here.index) ? b : a))[1];
	}
	default: return at;
	}
}

const sentence = (p) => [p.head, [p.name, p.value].filter(Boolean).join(": "), p.more].filter(Boolean).join(". ");

/** @return {{node, show(chart)}} */
export function chartHost(label, go) {
	const tip = h("div", { class: "tip", hidden: true });
	const live = h("div", { class: "quiet", "aria-live": "polite" });
	const stage = h("div", { class: "stage" });
	const node = h("div", { class: "plot", tabindex: "0", role: "application", "aria-roledescription": "chart",
		"aria-label": `${label}. Arrow keys read its values; the table has them all.` }, stage, tip);
	const outer = h("div", { class: "plot-frame" }, node, live);
	let chart = null;
	let at = -1;
	let mark = null;

	function point(i, { speak = false } = {}) {
		at = i;
		mark?.remove();
		mark = null;
		tip.hidden = i < 0;
		node.classList.toggle("has-link", i >= 0 && Boolean(chart?.points[i]?.href));
		if (i < 0 || !chart) return;
		const p = chart.points[i];
		const scale = chart.svg.clientWidth > 0 ? chart.svg.clientWidth / Number(chart.svg.getAttribute("width")) : 1;
		mark = s("g", { class: "cursor" });
		if (chart.frame) mark.append(s("line", { x1: p.x, x2: p.x, y1: chart.frame.top, y2: chart.frame.bottom }));
		if (p.box) mark.append(s("rect", { x: p.x - p.box[0] / 2, y: p.y - p.box[1] / 2, width: p.box[0], height: p.box[1] }));
		else if (p.y !== null) mark.append(s("circle", { cx: p.x, cy: p.y, r: 4, stroke: p.colour ?? "currentColor" }));
		chart.svg.append(mark);
		const together = chart.kind === "lines" ? chart.points.filter((q) => q.index === p.index) : [p];
		replace(tip, h("div", { class: "tip-head" }, p.head), together.map((q) => h("div", { class: q === p && together.length > 1 ? "tip-row here" : "tip-row" },
			q.name ? h("span", { class: "tip-name" }, q.name) : null, h("span", { class: "tip-value" }, q.value))), p.more ? h("div", { class: "tip-more" }, p.more) : null);
		const [w, t] = [tip.offsetWidth, tip.offsetHeight];
		const room = node.clientWidth;
		const left = p.x * scale + 14 + w > room ? p.x * scale - w - 14 : p.x * scale + 14;
		const top = (p.y ?? chart.frame?.top ?? 0) * scale - t / 2;
		tip.style.transform = `translate(${Math.round(Math.max(0, Math.min(left, room - w)))}px, ${Math.round(Math.max(-8, Math.min(top, node.clientHeight - t + 8)))}px)`;
		if (speak) live.textContent = sentence(p);
	}

	node.addEventListener("pointermove", (event) => {
		if (!chart || chart.points.length === 0) return;
		const box = chart.svg.getBoundingClientRect();
		const scale = Number(chart.svg.getAttribute("width")) / (box.width || 1);
		const i = nearest(chart.points, (event.clientX - box.left) * scale, (event.clientY - box.top) * scale, chart.kind);
		if (i !== at) point(i);
	});
	node.addEventListener("pointerleave", () => point(-1));
	node.addEventListener("click", (event) => {
		if (event.target.closest("a") || at < 0 || event.pointerType === "touch") return;
		if (chart?.kind !== "lines" && chart?.points[at]?.href) go(chart.points[at].href, event);
	});
	node.addEventListener("keydown", (event) => {
		if (!chart || event.ctrlKey || event.metaKey || event.altKey) return;
		if (event.key === "Escape") { point(-1); return; }
		if (event.key === "Enter" && at >= 0 && chart.points[at].href) { go(chart.points[at].href, event); return; }
		if (!/^(Arrow(Left|Right|Up|Down)|Home|End|PageUp|PageDown)$/.test(event.key)) return;
		event.preventDefault();
		point(step(chart.points, at, event.key, chart.vertical), { speak: true });
	});
	node.addEventListener("blur", () => point(-1));

	return {
		node: outer,
		/** Shows another chart; what was pointed at stays pointed at. */
		show(next) {
			const before = at >= 0 ? chart?.points[at] : null;
			chart = next;
			at = -1;
			replace(stage, next ? next.svg : null);
			tip.hidden = true;
			if (before && next) {
				const same = next.points.findIndex((p) => p.head === before.head && p.name === before.name);
				if (same >= 0 && document.activeElement === node) point(same);
			}
		},
		get svg() { return chart?.svg ?? null; },
		get width() { return node.clientWidth; },
	};
}
