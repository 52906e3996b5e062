// Where to ask: a box that leads to pages, and the reports as SQL.
import { h } from "../dom.js";
import { catalog } from "../figures/catalog.js";
import { destination } from "../state.js";

/** The box, and what to write into it. */
function finder(page) {
	let view = null;
	page.onView((next) => { view = next; });
	const wrong = h("p", { class: "field-error", role: "alert", hidden: true });
	const box = h("input", { type: "search", name: "find", id: "find", spellcheck: "false", autocapitalize: "off", autocomplete: "off", placeholder: "192.0.2.1" });
	const ways = [["192.0.2.1", "an address"], ["192.0.2.0/24", "a network"], ["AS4713", "an AS"], ["group NAME", "a group of networks"], ["23/TCP", "a service"], ["GRE", "a protocol"], ["JP", "a region"], ["2026Q3", "a quarter"]];
	return h("form", { class: "finder whole screen-only", role: "search", "aria-label": "Look up", onsubmit: (event) => {
		event.preventDefault();
		const to = destination(box.value);
		wrong.hidden = to !== null;
		wrong.textContent = "That is none of these.";
		if (to !== null) page.go(view.link(to));
	} }, h("label", { for: "find" }, "Look up"), h("div", { class: "finder-line" }, box, h("button", { type: "submit", class: "primary" }, "Show")), wrong,
	h("p", { class: "hint" }, ways.map(([text, what], i) => [i > 0 ? ", " : "", `${what}: `, h("code", null, text)])));
}

export const queries = {
	path: /^\/queries$/,
	title: () => "Queries",
	controls: { period: false, measure: false, scale: false, cmp: false, step: false, filter: false },
	build(page) {
		page.head("Queries", () => ["Look up what a page shows, or take the SQL behind it: everything here comes from ", h("strong", null, "report functions"), " that analysts call with their own tools."]);
		page.section(null);
		page.add(finder(page));
		page.figure(catalog());
	},
};
