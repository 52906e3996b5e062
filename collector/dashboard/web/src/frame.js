// What every page has around it: name, ways to other pages, the view's controls, and where the numbers come from.
import { h, replace } from "./dom.js";
import { formatInstant, plural } from "./format.js";
import { destination } from "./state.js";
import { navigation } from "./routes.js";
import { viewBar } from "./view_bar.js";

const THEMES = [["auto", "System"], ["light", "Light"], ["dark", "Dark"]];

/** The swallow: the project's name. */
const BIRD = "M1 7.5C5.5 4.6 9.6 4.9 13 8.2 14.6 5 18 3 23 2.6 20 4.6 18.3 6.8 17.8 9.6 17.2 12.6 15.2 14.4 12 14.8L15.5 21 9.8 16.4 4 20.4 8 14.2C6.3 12.8 4.5 10.3 1 7.5Z";

function bird() {
	const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
	svg.setAttribute("viewBox", "0 0 24 24");
	svg.setAttribute("aria-hidden", "true");
	const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
	path.setAttribute("d", BIRD);
	svg.append(path);
	return svg;
}

function stored() {
	try {
		return localStorage.getItem("theme") ?? "auto";
	} catch {
		return "auto";
	}
}

function setTheme(theme) {
	if (theme === "auto") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = theme;
	try {
		localStorage.setItem("theme", theme);
	} catch {
		// Without storage it lasts until the page is left.
	}
}

export function frame({ change, navigate, redraw }) {
	const main = h("main", { id: "main", tabindex: "-1" });
	const nav = h("nav", { class: "pages", "aria-label": "Pages" });
	const trail = h("nav", { class: "regions", "aria-label": "Regions" });
	const status = h("p", { class: "as-of" });
	const online = h("p", { class: "offline", role: "status", hidden: true });
	const origin = h("div", { class: "origin" });
	const bar = viewBar({ change, navigate });
	bar.node.hidden = true; // until it is known who looks
	let ctx = null;
	let view = null;

	setTheme(stored());
	const theme = h("label", { class: "theme" }, h("span", null, "Scheme"), h("select", { onchange: (event) => { setTheme(event.target.value); redraw(); } },
		THEMES.map(([value, label]) => h("option", { value, selected: value === stored() }, label))));

	const wrong = h("p", { class: "field-error", role: "alert", hidden: true });
	const box = h("input", { type: "search", name: "to", placeholder: "23/TCP, 192.0.2.1, AS64496, JP", "aria-label": "Go to a service, address, network or region",
		autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
	const find = h("form", { class: "go", role: "search", onsubmit: (event) => {
		event.preventDefault();
		const to = destination(box.value);
		wrong.hidden = to !== null || box.value.trim() === "";
		wrong.textContent = "Write a port (23/TCP), an address, a network (192.0.2.0/24, AS64496), a region (JP) or a quarter (2026Q3).";
		if (to === null || !view) return;
		box.value = "";
		navigate(view.link(to));
	} }, box, h("button", { type: "submit" }, "Go"), wrong);

	const top = h("header", { class: "top" }, h("div", { class: "top-line" }, h("a", { class: "brand", href: "/" }, bird(), h("span", null, "Hirundo")), nav, find), trail);
	const foot = h("footer", { class: "foot" }, origin, theme);

	const current = (path, here) => (here ? { href: path, "aria-current": "page" } : { href: path });

	function showNavigation() {
		replace(nav, navigation(ctx).map(([label, path]) => h("a", current(view.link(path), path === view.path || (/^\/quarter\//.test(path) && view.path.startsWith("/quarter/"))), label)));
		replace(trail, ctx.regions.filter((r) => r.shown).map((r) => h("a", { ...current(view.link(`/r/${r.region}`), view.path === `/r/${r.region}`), class: r.domestic ? "home" : null,
			title: `${plural(r.sensors, "sensor")}${r.domestic ? ", home region" : ""}` }, h("b", null, r.region), " ", h("span", null, r.name ?? ""))));
		const here = trail.querySelector("[aria-current]");
		if (here) trail.scrollLeft = Math.max(0, here.offsetLeft - trail.clientWidth / 2);
	}

	function showStatus() {
		const { as_of: asOf, zone, dataset, name, everything, regions } = ctx.viewer;
		replace(status, "As of ", h("time", { datetime: asOf ?? "" }, formatInstant(asOf, zone, { seconds: true })));
		replace(origin,
			status,
			h("p", null, h("b", null, "Address data: "), dataset ?? "none loaded: regions and networks are not known"),
			h("p", null, h("b", null, "Days and hosts: "), `of the reporting zone, ${zone}. Hosts are distinct sources (IPv6: /64) and never add up.`),
			h("p", null, h("b", null, "You see: "), everything ? `all regions (${name})` : `${(regions ?? []).join(", ")} in full, others in sums over at least two sensors (${name})`));
		bar.status(asOf, zone);
	}

	return {
		main,
		nodes: [h("a", { class: "skip", href: "#main" }, "Skip to content"), top, bar.node, online, main, foot],
		ready(context) {
			ctx = context;
			showStatus();
		},
		show(next, page) {
			view = next;
			ctx = next.ctx;
			showNavigation();
			bar.node.hidden = false;
			bar.show(view, page);
			showStatus();
		},
		status: showStatus,
		online(yes, error = null) {
			online.hidden = yes;
			if (!yes) replace(online, `${error.message} What is shown is as of ${formatInstant(ctx.viewer.as_of, ctx.viewer.zone)}. `, error.advice);
		},
		fail(error) {
			replace(main, h("div", { class: "message bad", role: "alert" }, h("p", { class: "message-head" }, error.message), h("p", null, error.advice)));
		},
	};
}
