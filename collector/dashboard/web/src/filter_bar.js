// The filter: a form for all its keys, and chips for those that are set.
import { h } from "./dom.js";
import { FILTER_KEYS, parseState } from "./state.js";

const EXCLUDE = [["spoofed", "Spoofed sources"], ["response", "Responses"], ["scanner_org", "Research scanners"], ["bogon", "Bogon sources"]];
const LABELS = {
	grp: "Sensors", home: "Home region", sensor_region: "Sensor region", sensors: "Sensor", src_region: "Source region", asn: "AS", organization: "Organization",
	networks: "Network", network_group: "Network group", sources: "Source", services: "Service", ports_only: "Without ICMP, GRE …", traits: "Trait", role: "Role", exclude: "Without",
};
/** Keys with free text: [key, placeholder, how to write several]. */
const TEXTS = [["services", "23/TCP, 53/UDP, GRE"], ["src_region", "JP, CN, ZZ"], ["asn", "4713, 64496"], ["organization", "name, exactly"], ["networks", "192.0.2.0/24"],
	["network_group", "name"], ["sources", "192.0.2.1"], ["traits", "mirai, zmap"]];

function words(view, key, value) {
	switch (key) {
	case "sensors": return view.ctx.sensors.find((s) => s.sensor === value)?.public_label ?? String(value);
	case "asn": return `AS${value}`;
	case "sensor_region": return view.regionName(value);
	case "exclude": return EXCLUDE.find(([k]) => k === value)?.[1].toLowerCase() ?? value;
	case "ports_only": return "ports only";
	default: return String(value);
	}
}

/** @param {function} set  (filter) the whole filter, without the page's own keys */
export function filterChips(view, set) {
	const chips = [];
	for (const [key, value] of Object.entries(view.state.filter)) {
		for (const one of [value].flat()) {
			const text = key === "ports_only" ? "Ports only" : `${LABELS[key]}: ${words(view, key, one)}`;
			chips.push(h("span", { class: "chip" }, text, h("button", { type: "button", "aria-label": `Remove ${text}`, onclick: () => {
				const rest = [value].flat().filter((v) => v !== one);
				const filter = { ...view.state.filter, [key]: rest };
				if (rest.length === 0) delete filter[key];
				set(filter);
			} }, "×")));
		}
	}
	if (chips.length > 1) chips.push(h("button", { type: "button", class: "small", onclick: () => set({}) }, "Clear all"));
	return chips;
}

/** @param {function} apply  (filter) */
export function filterForm(view, apply) {
	const now = view.state.filter;
	const fixed = new Set(Object.keys(view.filter).filter((key) => !(key in now)));
	const field = (key, ...inside) => (fixed.has(key) ? null : h("label", { class: "field" }, h("span", null, LABELS[key]), ...inside));
	const pick = (name, options) => {
		const set = [now[name] ?? ""].flat().join(",");
		// Several, which an address can have: they stay one choice.
		const all = set.includes(",") ? [...options, [set, set.replaceAll(",", ", ")]] : options;
		return h("select", { name }, all.map(([value, label]) => h("option", { value, selected: set === value }, label)));
	};
	const wrong = h("p", { class: "field-error", role: "alert", hidden: true });
	const placed = fixed.has("sensors") || fixed.has("sensor_region");
	const form = h("form", { class: "filter-form", novalidate: true, onsubmit: (event) => {
		event.preventDefault();
		const query = new URLSearchParams();
		for (const [name, value] of new FormData(form)) {
			const parts = FILTER_KEYS[name] === "names" ? value.split(";") : [value];
			for (const part of parts) if (part.trim() !== "") query.append(name, part.trim());
		}
		if (now.home) query.set("home", now.home); // has no field
		const { filter, problems } = parseState(`?${query}`);
		wrong.hidden = problems.length === 0;
		wrong.textContent = problems.join("; ");
		if (problems.length === 0) apply(filter);
	} },
	h("div", { class: "fields" },
		placed ? null : field("grp", pick("grp", [["", "all"], ["domestic", "domestic"], ["overseas", "overseas"]])),
		placed ? null : field("sensor_region", pick("sensor_region", [["", "all"], ...view.ctx.regions.filter((r) => r.shown).map((r) => [r.region, `${r.region} ${r.name ?? ""}`])])),
		fixed.has("sensors") || view.ctx.sensors.length === 0 ? null
			: field("sensors", pick("sensors", [["", "all"], ...view.ctx.sensors.map((s) => [String(s.sensor), `${s.public_label ?? s.name} (${s.region})`])])),
		field("role", pick("role", [["", "all"], ["probe", "probes"], ["response", "responses"]])),
		TEXTS.map(([key, hint]) => field(key, h("input", { type: "text", name: key, placeholder: hint, value: [now[key] ?? ""].flat().join(FILTER_KEYS[key] === "names" ? "; " : ", "), spellcheck: "false",
			autocapitalize: "off", autocomplete: "off" })))),
	h("fieldset", { class: "checks" }, h("legend", null, "Without"), EXCLUDE.map(([value, label]) => h("label", null, h("input", { type: "checkbox", name: "exclude", value,
		checked: (now.exclude ?? []).includes(value) }), label))),
	h("fieldset", { class: "checks" }, h("legend", null, "Services"), h("label", null, h("input", { type: "checkbox", name: "ports_only", value: "true", checked: now.ports_only === true }),
		"TCP and UDP ports only")),
	wrong,
	h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Apply"), h("button", { type: "button", onclick: () => apply({}) }, "Clear"),
		h("p", { class: "hint" }, "Every key must hold; of several values, any. Write several with commas, names with semicolons.")));
	return form;
}
