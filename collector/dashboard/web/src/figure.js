// A figure: heading, one line that says what is counted, chart, table twin, downloads and the SQL behind it; and what it shows
// while it loads, when there is nothing, and when something went wrong. README.md tells how to make one.
import { ApiError, call, callPath } from "./api.js";
import { chartHost } from "./chart/host.js";
import { loadPlot } from "./chart/plot.js";
import { standalone } from "./chart/svg.js";
import { h, newId, replace, saveFile } from "./dom.js";
import { formatPeriod } from "./format.js";
import { table } from "./table.js";

const PATIENCE_MS = 400;
/** Of calls, in the list of files. */
const NAMES = { now: "this period", before: "period compared with" };

/** Makes the inside of a node anew; focus and scrolling stay where they were. */
function keeping(node, make) {
	const scroller = node.querySelector(".table-scroll");
	const place = scroller && [scroller.scrollLeft, scroller.scrollTop];
	const all = () => [...node.querySelectorAll("a[href], button, [tabindex]")];
	const held = node.contains(document.activeElement) ? all().indexOf(document.activeElement) : -1;
	make();
	if (place) node.querySelector(".table-scroll")?.scrollTo(...place);
	if (held >= 0) all()[held]?.focus({ preventScroll: true });
}

/* One figure after the other, each in a task of its own: the first is on the screen while the second is drawn. */
let drawing = Promise.resolve();
const turn = () => {
	drawing = drawing.then(() => new Promise((go) => setTimeout(go)));
	return drawing;
};

const of = (what, ...args) => (typeof what === "function" ? what(...args) : what);

/**
 * @param {object} spec
 *   name    data-figure, and of files: "top-services"
 *   title   text, or (view) -> text
 *   define  one line: what is counted; text, or (view) -> text
 *   span    columns of twelve (default 12)
 *   height  pixels to keep free until the chart is there
 *   calls   (view) -> {name: {fn, period, filter, n, ...} or null}; all must answer
 *   more    (rows, view) -> further calls that need the answers of the first; optional
 *   chart   (rows, view, width) -> {svg, points, ...} or [of these, each with label], by name of the call; optional
 *   table   (rows, view) -> {columns, rows}, see table.js; the twin of the chart, or without chart what is shown
 *   node    (rows, view, width) -> element to show instead of chart; optional
 *   note    (rows, view) -> text or null below the chart; optional
 *   names   {call: what its CSV is called}; optional
 *   empty   (rows, view) -> text where there is nothing to show, or null; default: no rows at all
 *   hidden  (view) -> true where the figure has no place
 * @param {function} go  follows a link
 */
export function figure(spec, go) {
	const ids = { title: newId("figure"), table: newId("table"), sql: newId("sql"), files: newId("files") };
	const title = h("h3", { id: ids.title });
	const define = h("p", { class: "define" });
	const body = h("div", { class: "figure-body" });
	const note = h("p", { class: "note", hidden: true });
	const tools = h("div", { class: "tools" });
	const twin = h("div", { class: "twin", id: ids.table, hidden: true });
	const files = h("div", { class: "files", id: ids.files, hidden: true });
	const sql = h("div", { class: "sql", id: ids.sql, hidden: true });
	const node = h("figure", { class: "figure", "data-figure": spec.name, "data-span": spec.span ?? 12, "data-state": "loading", "aria-labelledby": ids.title },
		h("figcaption", null, title, define), body, note, tools, twin, files, sql);
	const hosts = [];
	const order = { key: null, down: false }; // of the table
	let view = null;
	let width = 0;
	let answers = null; // by name of the call
	let made = []; // [name, call] of them
	let drawn = null; // what chart() gave last
	let key = ""; // of the calls that answers belong to
	let running = null;
	let timer = 0;
	let again = 0;
	let offered = ""; // the tools that are there

	const size = new ResizeObserver(() => {
		if (answers && node.dataset.state === "ready" && Math.abs(body.clientWidth - width) > 4) render();
	});

	function setState(state) {
		node.dataset.state = state;
		node.toggleAttribute("data-stale", false);
		node.setAttribute("aria-busy", String(state === "loading"));
	}

	const rowsOf = () => Object.fromEntries(Object.entries(answers).map(([name, answer]) => [name, answer?.rows ?? null]));

	function reserve() {
		body.style.minHeight = spec.height ? `${spec.height}px` : "";
	}

	/** A line, then after a while the seconds and a way out. */
	function waiting() {
		const line = h("p", { class: "waiting", role: "status" });
		const begin = performance.now();
		const show = () => {
			const seconds = Math.floor((performance.now() - begin) / 1000);
			replace(line, h("span", { class: "spinner", "aria-hidden": "true" }), h("span", null, seconds < 1 ? "Counting…" : `Counting… ${seconds} s`),
				h("button", { type: "button", class: "small", onclick: cancel }, "Cancel"));
		};
		timer = setTimeout(() => {
			show();
			// Only the number changes from now on, so that the button keeps its focus.
			timer = setInterval(() => {
				line.children[1].textContent = `Counting… ${Math.floor((performance.now() - begin) / 1000)} s`;
			}, 1000);
		}, PATIENCE_MS);
		return line;
	}

	function stopWaiting() {
		clearTimeout(timer);
		clearInterval(timer);
		clearTimeout(again);
	}

	function cancel() {
		running?.abort();
		running = null;
		stopWaiting();
		setState("error");
		message("Cancelled.", "", { retry: "Count again" });
		node.querySelector(".message button")?.focus();
	}

	function message(head, advice, { retry = null, kind = "" } = {}) {
		hosts.length = 0;
		width = 0;
		body.style.minHeight = "";
		replace(body, h("div", { class: `message ${kind}`, role: kind === "bad" ? "alert" : null }, h("p", { class: "message-head" }, head), advice ? h("p", null, advice) : null,
			retry ? h("button", { type: "button", onclick: () => fetchAll({ force: true }) }, retry) : null));
		note.hidden = true;
	}

	async function charts() {
		try {
			await loadPlot();
		} catch {
			throw new ApiError(0, { message: "The dashboard does not answer." });
		}
	}

	async function fetchAll({ force = false, silently = false } = {}) {
		const calls = Object.entries(spec.calls(view)).filter(([, c]) => c);
		const wanted = calls.map(([name, c]) => `${name} ${callPath(c)}`).join("\n");
		if (!force && !silently && wanted === key && answers) { render(); return; }
		running?.abort();
		stopWaiting();
		const mine = new AbortController();
		running = mine;
		if (!silently || !answers) {
			answers = null;
			key = "";
			setState("loading");
			hosts.length = 0;
			width = 0;
			reserve();
			replace(body, waiting());
			noTools();
			note.hidden = true;
			twin.hidden = files.hidden = sql.hidden = true;
		}
		try {
			const ask = async (some) => Object.fromEntries(await Promise.all(some.map(async ([name, c]) => [name, await call(c, { signal: mine.signal })])));
			let got = await ask(calls);
			const more = Object.entries(spec.more?.(Object.fromEntries(Object.entries(got).map(([name, answer]) => [name, answer.rows])), view) ?? {}).filter(([, c]) => c);
			if (more.length > 0) got = { ...got, ...await ask(more) };
			if (spec.chart) await charts();
			await turn();
			if (running !== mine) return;
			answers = got;
			made = [...calls, ...more];
			key = wanted;
			stopWaiting();
			running = null;
			render();
		} catch (error) {
			if (running !== mine) return;
			mine.abort(); // the other calls are of no use now
			stopWaiting();
			running = null;
			if (!(error instanceof ApiError)) {
				if (error.name === "AbortError") return;
				console.error(error);
			}
			// What is on the page stays when only the refresh failed: it says itself that it is older.
			const known = error instanceof ApiError ? error : new ApiError(500, { message: "The figure could not be drawn." });
			if (silently && answers) node.toggleAttribute("data-stale", true);
			else failed(known);
			if (known.wait !== null) again = setTimeout(() => fetchAll({ force: true, silently: silently && answers !== null }), known.wait * 1000);
		}
	}

	function failed(error) {
		answers = null;
		key = "";
		setState("error");
		noTools();
		if (error.status === 403) {
			denied(error);
			return;
		}
		message(sentence(error.message), error.advice, { retry: error.status === 400 ? null : "Try again", kind: "bad" });
	}

	/** Not for this viewer: nothing went wrong, and nothing is empty. */
	function denied(error) {
		setState("denied");
		replace(define, of(spec.define, view, {}));
		const own = view.ctx.viewer.regions ?? [];
		message(own.length > 0 ? `Not shown to viewers of ${own.map(view.regionName).join(", ")}` : "Not shown to you", [sentence(error.message), error.hint ? ` ${sentence(error.hint)}` : "",
			error.hint ? "" : ` ${error.advice}`], { kind: "denied" });
	}

	function render() {
		const rows = rowsOf();
		replace(title, of(spec.title, view));
		replace(define, of(spec.define, view, rows));
		const nothing = spec.empty ? spec.empty(rows, view) : Object.values(rows).every((r) => !r || r.length === 0) ? "Nothing came in this period." : null;
		if (nothing) {
			setState("empty");
			message(nothing, "Choose a longer period or fewer filters. The coverage chart tells whether anybody listened.");
			showTools(false);
			return;
		}
		width = body.clientWidth;
		const focused = body.contains(document.activeElement) ? hosts.findIndex((host) => host.node.contains(document.activeElement)) : -1;
		if (spec.chart) {
			drawn = spec.chart(rows, view, width);
			const charts = [drawn].flat();
			if (hosts.length !== charts.length || !body.contains(hosts[0]?.node ?? null)) {
				hosts.length = 0;
				for (const chart of charts) hosts.push(chartHost(chart.label ? `${of(spec.title, view)}: ${chart.label}` : of(spec.title, view), go));
				replace(body, charts.length > 1 || charts[0]?.label ? h("div", { class: "multiples" }, charts.map((chart, i) => h("div", { class: "multiple" },
					h("h4", null, chart.href ? h("a", { href: chart.href }, chart.label) : chart.label, chart.sub ? h("span", { class: "sub" }, chart.sub) : null), hosts[i].node)))
					: hosts.map((host) => host.node));
			}
			if (drawn.columns) {
				const grid = body.querySelector(".multiples");
				grid.style.gridTemplateColumns = `repeat(${drawn.columns}, minmax(0, 1fr))`;
				grid.style.columnGap = `${drawn.gap}px`;
			}
			charts.forEach((chart, i) => {
				if (chart.label) chart.svg.dataset.label = chart.label;
				hosts[i].show(chart);
			});
		} else {
			hosts.length = 0;
			keeping(body, () => replace(body, spec.node ? spec.node(rows, view, width) : table({ caption: of(spec.title, view), hideCaption: true, order, ...spec.table(rows, view) })));
		}
		const words = spec.note?.(rows, view);
		note.hidden = !words;
		replace(note, words ?? "");
		body.style.minHeight = "";
		setState("ready");
		showTools(true);
		if (focused >= 0) hosts[focused]?.node.querySelector(".plot").focus({ preventScroll: true });
	}

	function toggle(label, panel, build) {
		const button = h("button", { type: "button", class: "tool", "data-tool": label.toLowerCase(), "aria-expanded": String(!panel.hidden), "aria-controls": panel.id, onclick: () => {
			panel.hidden = !panel.hidden;
			button.setAttribute("aria-expanded", String(!panel.hidden));
			if (!panel.hidden) build();
		} }, label);
		if (!panel.hidden) build();
		return button;
	}

	function noTools() {
		replace(tools);
		offered = "";
	}

	function showTools(ready) {
		const twinOf = ready && spec.table && (spec.chart || spec.node);
		if (!twinOf) twin.hidden = true;
		// The same are left alone: whoever clicks one while newer data come would click nothing.
		const offer = [ready, Boolean(twinOf), ...made.map(([, c]) => callPath(c))].join("\n");
		if (offer === offered) {
			if (!twin.hidden) showTwin();
			return;
		}
		offered = offer;
		const held = tools.contains(document.activeElement) ? document.activeElement.dataset.tool : null;
		replace(tools,
			twinOf ? toggle("Table", twin, showTwin) : null,
			made.length === 1 ? csvLink(made[0][1], "CSV") : toggle("CSV", files, () => replace(files, h("ul", null, made.map(([name, c]) => h("li", null,
				csvLink(c, of(spec.names, view)?.[name] ?? NAMES[name] ?? name), h("span", { class: "muted" }, `report.${c.fn}`)))))),
			ready && spec.chart ? h("button", { type: "button", class: "tool", "data-tool": "svg", onclick: saveSvg }, "SVG") : null,
			toggle("SQL", sql, showSql));
		if (held) tools.querySelector(`[data-tool="${held}"]`)?.focus({ preventScroll: true });
	}

	function showTwin() {
		keeping(twin, () => replace(twin, table({ caption: `${of(spec.title, view)}, ${formatPeriod(view.period)}`, order, ...spec.table(rowsOf(), view) })));
	}

	const csvLink = (c, label) => h("a", { class: "tool", "data-tool": "csv", href: callPath(c, "csv"), download: "", rel: "external" }, label);

	function saveSvg() {
		const name = `hirundo-${spec.name}-${view.period.from}-${view.period.to}.svg`;
		saveFile(name, "image/svg+xml", standalone(hosts.map((host) => host.svg), { title: of(spec.title, view), define: of(spec.define, view, rowsOf()),
			source: view.source(answers, made.find(([, c]) => c.period)?.[1]), columns: drawn?.columns, gap: drawn?.gap }));
	}

	function showSql() {
		const text = [...new Set(Object.values(answers).filter(Boolean).map((answer) => answer.sql))].join("\n");
		const done = h("span", { class: "done", role: "status" });
		replace(sql, h("pre", { tabindex: "0", "aria-label": "SQL" }, h("code", null, text)), h("button", { type: "button", class: "small", onclick: async () => {
			done.textContent = (await copy(text)) ? "Copied" : "Select it and copy it";
		} }, "Copy"), done);
	}

	async function copy(text) {
		try {
			await navigator.clipboard.writeText(text);
			return true;
		} catch { // not over plain HTTP, or not allowed
			const range = document.createRange();
			range.selectNodeContents(sql.querySelector("code"));
			getSelection().removeAllRanges();
			getSelection().addRange(range);
			return false;
		}
	}

	reserve();
	size.observe(body);
	return {
		node,
		/** Shows another view: asks only for what is not there yet. */
		show(next) {
			view = next;
			node.hidden = spec.hidden?.(view) ?? false;
			if (node.hidden) {
				running?.abort();
				running = null;
				stopWaiting();
				setState("hidden");
				return;
			}
			replace(title, of(spec.title, view));
			fetchAll();
		},
		/** Newer data may be there: what is shown stays until they are. */
		refresh() {
			if (!node.hidden && view && answers) fetchAll({ silently: true });
		},
		redraw() {
			if (answers && node.dataset.state === "ready") render();
		},
		done() {
			running?.abort();
			running = null;
			stopWaiting();
			size.disconnect();
		},
	};
}

const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "Something went wrong.");
