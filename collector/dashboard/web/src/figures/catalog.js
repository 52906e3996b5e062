// The example queries: what each report counts, the SQL, its rows as CSV, and the pages that show it.
import { callPath } from "../api.js";
import { addDays } from "../days.js";
import { h } from "../dom.js";

/** What the arguments behind the filter are called, in their order. */
const MORE = {
	top_services: ["n", "rank_by"], top_services_by_sensor: ["n"], common_services: ["n"], service_trend: ["step", "n"], top_source_regions: ["n", "rank_by"], source_region_trend: ["n", "step"],
	packets_per_sensor_day: ["step"], mirai_hosts: ["n"], ack_packets: ["step"], ack_organizations: ["n"], top_networks: ["by", "n", "rank_by"], activity_calendar: ["min_hosts"], spoof_verdict: ["n"],
	verdict_share: ["step"], verdict_changes: ["n"], payload_samples: ["n"], notification: ["n"], coverage: ["step"],
};

/**
 * An example of report.catalog() as a call.
 * @param {string} today  reporting day that current_date stands for
 * @return {object|null} for callPath(); null where it is written in a way that is not known
 */
export function exampleCall(example, today) {
	const text = example.replace(/\s+/g, " ").trim();
	const m = /^SELECT \* FROM report\.([a-z_]+)\((.*)\)$/.exec(text);
	if (!m) return null;
	const [, fn, inside] = m;
	if (inside === "") return { fn };
	const period = /^daterange\(current_date - (\d+), current_date\)(?:, (.*))?$/.exec(inside);
	if (!period) return null;
	const out = { fn, period: { from: addDays(today, -Number(period[1])), to: addDays(today, -1) } };
	const rest = [...(period[2] ?? "").matchAll(/'((?:[^']|'')*)'|(-?\d+)/g)].map((one) => (one[1] !== undefined ? one[1].replaceAll("''", "'") : one[2]));
	if (fn === "source") return rest.length === 1 ? { ...out, src: rest[0] } : null;
	if (rest.length > 0) {
		try {
			out.filter = JSON.parse(rest[0]);
		} catch {
			return null;
		}
	}
	const names = MORE[fn] ?? [];
	if (rest.length - 1 > names.length) return null;
	rest.slice(1).forEach((value, i) => { out[names[i]] = value; });
	return out;
}

/** Pages that show what a function gives: [label, path]. Of each analysis one at least is here; README.md has the figures. */
export function pagesOf(fn, ctx) {
	const home = `/r/${ctx.viewer.home_region}`;
	const places = {
		top_services: [["All regions", "/"], ["The home region", home]], service_trend: [["All regions", "/"]], top_source_regions: [["All regions", "/"]], source_region_trend: [["All regions", "/"]],
		packets_per_sensor_day: [["All regions", "/"]], top_services_by_sensor: [["All regions", "/"]], common_services: [["All regions", "/"]], coverage: [["All regions", "/"]], mirai_hosts: [["All regions", "/"]],
		ack_packets: [["The home region", home]], ack_organizations: [["The home region", home]], notification: [["The home region", home]], notification_excluded: [["The home region", home]],
		payload_samples: [["GRE", "/service/GRE"]], hosts_per_day: [["22/TCP", "/service/22-TCP"], ["A network", "/network/as-4713"]], activity_calendar: [["22/TCP", "/service/22-TCP"]],
		ttl_by_region: [["Spoofing", "/spoofing"]], top_networks: [["All regions", "/"]], spoof_campaigns: [["Spoofing", "/spoofing"]], spoof_verdict: [["Spoofing", "/spoofing"]], verdict_share: [["Spoofing", "/spoofing"]],
		verdict_changes: [["Spoofing", "/spoofing"]], response_sources_called_spoofed: [["Spoofing", "/spoofing"]], source: [["An address", "/source/192.0.2.1"]],
	};
	return places[fn] ?? [];
}

const nameOf = (row) => /report\.([a-z_]+)/.exec(row.function)?.[1] ?? row.function;

function entry(row, view) {
	const fn = nameOf(row);
	const call = exampleCall(row.example, view.ctx.viewer.today);
	const code = h("code", null, row.example);
	const done = h("span", { class: "done", role: "status" });
	const copy = async () => {
		try {
			await navigator.clipboard.writeText(row.example);
			done.textContent = "Copied";
		} catch { // not over plain HTTP, or not allowed
			const range = document.createRange();
			range.selectNodeContents(code);
			getSelection().removeAllRanges();
			getSelection().addRange(range);
			done.textContent = "Select it and copy it";
		}
	};
	return h("article", { class: "query", "data-query": fn }, h("h4", null, h("span", { class: "tag" }, row.analysis), " ", h("code", null, row.function.replace(/,(?=\S)/g, ", "))),
		h("p", null, row.definition),
		h("div", { class: "sql" }, h("pre", { tabindex: "0", "aria-label": `Example of ${fn}` }, code), h("button", { type: "button", class: "small", onclick: copy, "aria-label": `Copy the example of ${fn}` }, "Copy"), done,
			call && fn !== "catalog" ? h("a", { class: "tool", "data-tool": "csv", href: callPath(call, "csv"), download: "", rel: "external" }, "CSV of it") : null,
			pagesOf(fn, view.ctx).map(([label, path]) => h("a", { class: "tool", href: view.link(path) }, `Page: ${label}`))));
}

export const catalog = (more = {}) => ({
	name: "catalog", title: "Example queries", span: 12,
	define: "Each report with its exact definition and an example that runs, for psql and for notebooks; current_date stands for today. What may not be shown to you, the database refuses with the reason.",
	calls: () => ({ now: { fn: "catalog" } }),
	node({ now }, view) {
		const list = now.map((row) => [row, entry(row, view)]);
		const count = h("span", { class: "muted", role: "status" });
		const box = h("input", { type: "search", "aria-label": "Find a query", placeholder: "R5, hosts, verdict …", spellcheck: "false", oninput: () => find() });
		const find = () => {
			const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
			let shown = 0;
			for (const [row, node] of list) {
				const text = `${row.analysis} ${row.function} ${row.definition} ${row.example}`.toLowerCase();
				node.hidden = !words.every((word) => text.includes(word));
				if (!node.hidden) shown++;
			}
			count.textContent = words.length === 0 ? `${list.length} reports` : `${shown} of ${list.length} reports`;
		};
		find();
		return h("div", null, h("p", { class: "find" }, box, " ", count), h("div", { class: "queries" }, list.map(([, node]) => node)));
	},
	table: ({ now }) => ({ rows: now, columns: [{ key: "analysis", label: "Analysis" }, { key: "function", label: "Function" }, { key: "definition", label: "Definition" }, { key: "example", label: "Example" }] }),
	...more,
});
