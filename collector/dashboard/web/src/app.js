// Routes, the address as state, and what is newer without a reload.
import { ApiError, call, forget } from "./api.js";
import { h, replace } from "./dom.js";
import { presets } from "./days.js";
import { figure } from "./figure.js";
import { formatInstant, inZone } from "./format.js";
import { frame } from "./frame.js";
import { routes } from "./routes.js";
import { formatState, parseState } from "./state.js";
import { makeView } from "./view.js";

const POLL_MS = 30000;

let ctx = null;
let page = null; // {path, route, params, figures, onView, node}
let shell = null;

async function loadContext() {
	const [viewer, sensors, regions] = await Promise.all(["viewer", "sensors", "sensor_regions"].map((fn) => call({ fn })));
	// ZZ, as a sensors' region: those that may not be shown alone.
	const names = new Map([["ZZ", "Other regions together"], ...regions.rows.map((row) => [row.region, row.name])]);
	return { viewer: viewer.rows[0], sensors: sensors.rows, regions: regions.rows, names };
}

function find(path) {
	for (const route of routes) {
		const match = route.path.exec(path);
		if (match) return { route, params: match.slice(1).map((part) => part && decode(part)) };
	}
	return null;
}

function decode(part) {
	try {
		return decodeURIComponent(part);
	} catch {
		return part;
	}
}

/** The address's state; one without a period gets the page's (last 30 days), written into it, so that what is seen can be shared. */
function readState() {
	const state = parseState(location.search);
	if (!state.from) {
		const standard = page?.route.period?.(page.params, ctx) ?? presets(ctx.viewer.today).find(([id]) => id === "30d")[2];
		Object.assign(state, standard);
		history.replaceState(history.state, "", location.pathname + formatState(state));
	}
	return state;
}

function navigate(href, { replaceIt = false } = {}) {
	const url = new URL(href, location.href);
	if (url.origin !== location.origin) return;
	history.replaceState({ scroll: scrollY }, "");
	history[replaceIt ? "replaceState" : "pushState"](null, "", url.pathname + url.search);
	show();
}

/** Follows a link as the browser would: with a key held down in a new tab. */
function go(href, event = null) {
	if (event && (event.ctrlKey || event.metaKey)) open(href, "_blank", "noopener");
	else navigate(href);
}

/** Another choice of the same page: does not make a new step back. */
function change(changes) {
	const state = { ...parseState(location.search), ...changes };
	history.replaceState(history.state, "", location.pathname + formatState(state));
	show();
}

function show({ scroll = null } = {}) {
	const path = location.pathname;
	if (page?.path !== path) build(path, scroll);
	const state = readState();
	const view = makeView(path, state, page.fixed, ctx);
	document.title = `${page.title(view)} · Hirundo`;
	shell.show(view, page);
	page.onView.forEach((f) => f(view));
	page.figures.forEach((f) => f.show(view));
	page.view = view;
}

function build(path, scroll) {
	page?.figures.forEach((f) => f.done());
	const first = page === null;
	const found = find(path);
	const main = shell.main;
	page = { path, route: found?.route ?? {}, params: found?.params ?? [], figures: [], onView: [], fixed: {}, title: () => "Not found", controls: {} };
	replace(main);
	let grid = null;
	const builder = {
		ctx, params: page.params, go,
		/** A title and, below it, a line that is made anew for each view. */
		head(title, lead = null) {
			const line = h("p", { class: "lead" });
			const heading = h("h1", null);
			main.append(h("div", { class: "page-head" }, heading, line));
			page.onView.push((view) => {
				replace(heading, typeof title === "function" ? title(view) : title);
				replace(line, lead ? lead(view) : "");
			});
		},
		section(title, words = null) {
			grid = h("section", { class: "grid" });
			grid.append(title ? h("div", { class: "section-head" }, h("h2", null, title), words ? h("p", null, words) : null) : h("h2", { class: "quiet" }, "Summary"));
			main.append(grid);
			return grid;
		},
		figure(spec) {
			if (!grid) builder.section(null);
			const one = figure(spec, go);
			grid.append(one.node);
			page.figures.push(one);
			return one;
		},
		add(node) { (grid ?? main).append(node); },
		onView(f) { page.onView.push(f); },
	};
	if (found) {
		page.title = (view) => found.route.title(page.params, view);
		page.controls = found.route.controls ?? {};
		const problem = found.route.problem?.(page.params, ctx);
		if (problem) {
			builder.head("Nothing here");
			main.append(h("div", { class: "message" }, h("p", null, problem)));
			page.figures = [];
		} else {
			page.fixed = found.route.filter?.(page.params, ctx) ?? {};
			found.route.build(builder);
		}
	} else {
		builder.head("Nothing here");
		main.append(h("div", { class: "message" }, h("p", null, `There is no page ${path}. `), h("p", null, h("a", { href: "/" }, "All regions"), " or “Go to” above lead on.")));
	}
	if (!first) {
		scrollTo(0, scroll ?? 0);
		main.focus({ preventScroll: true });
	}
}

function onClick(event) {
	if (event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
	const link = event.target.closest?.("a");
	if (!link) return;
	const href = link.href?.baseVal ?? link.getAttribute("href");
	if (!href || href.startsWith("#") || link.getAttribute("rel") === "external" || link.hasAttribute("download") || link.target) return;
	const url = new URL(href, location.href);
	if (url.origin !== location.origin) return;
	event.preventDefault();
	navigate(url.href);
}

/** Asks whether more was received since; what the view's period may have of it is asked anew, in place. */
async function poll() {
	if (document.hidden) return;
	try {
		forget();
		const { rows } = await call({ fn: "viewer" });
		const before = ctx.viewer;
		ctx.viewer = rows[0];
		shell.online(true);
		if (before.as_of === rows[0].as_of && before.today === rows[0].today) return;
		const touched = before.as_of ? inZone(new Date(before.as_of), before.zone).day : "0000-01-01";
		forget(touched);
		shell.status();
		if (page.view && page.view.period.to >= touched) page.figures.forEach((f) => f.refresh());
	} catch (error) {
		if (error instanceof ApiError) shell.online(false, error);
	}
}

async function start() {
	history.scrollRestoration = "manual";
	shell = frame({ change, navigate, redraw: () => page?.figures.forEach((f) => f.redraw()) });
	document.body.append(...shell.nodes);
	for (;;) {
		try {
			ctx = await loadContext();
			break;
		} catch (error) {
			const known = error instanceof ApiError ? error : new ApiError(500, { message: String(error) });
			const wait = known.wait ?? (known.status === 403 ? null : 15);
			shell.fail(known);
			if (wait === null) return;
			await new Promise((resolve) => setTimeout(resolve, wait * 1000));
		}
	}
	replace(shell.main);
	shell.ready(ctx);
	addEventListener("popstate", (event) => show({ scroll: event.state?.scroll ?? 0 }));
	document.addEventListener("click", onClick);
	document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
	setInterval(poll, POLL_MS);
	const paper = (yes) => {
		document.documentElement.classList.toggle("printing", yes);
		page?.figures.forEach((f) => f.redraw());
	};
	addEventListener("beforeprint", () => paper(true));
	addEventListener("afterprint", () => paper(false));
	show();
}

start();
