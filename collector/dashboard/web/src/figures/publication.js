// Whether a quarter was published: then its figures are frozen, and those of the page are what the same calls give now.
import { h } from "../dom.js";
import { formatInstant } from "../format.js";

const days = (range) => String(range ?? "");

export const publications = ({ name, ...more } = {}) => ({
	name: "publication", title: "Published or current", span: 12,
	define: "What stands below is counted now. A publication is frozen with its verdicts and address data; its files, and what has changed since, are written by hirundo-admin report quarter.",
	calls: () => ({ now: { fn: "publications" } }),
	empty: () => null,
	node({ now }, view) {
		const list = now.filter((row) => row.name === name);
		if (list.length === 0) return h("p", { class: "status-line" }, h("span", { class: "tag" }, "current"), ` ${name} was not published. Late data, new address data and verdicts made anew may still change these figures.`);
		return h("ul", { class: "status-list" }, list.map((row) => h("li", null, h("span", { class: "tag" }, `edition ${row.edition}`), ` published for ${view.regionName(row.home_region)} ${formatInstant(row.published_at, view.zone)}, with all data received before ${formatInstant(row.as_of, view.zone)}. `,
			"Its figures are frozen; those below are current and may differ.")));
	},
	table: ({ now }, view) => ({ rows: now, columns: [{ key: "name", label: "Publication" }, { key: "edition", label: "Edition", kind: "number" }, { key: "period", label: "Days", of: (row) => days(row.period) },
		{ key: "published_at", label: "Published", cell: (row) => formatInstant(row.published_at, view.zone) }, { key: "as_of", label: "As of", cell: (row) => formatInstant(row.as_of, view.zone) },
		{ key: "home_region", label: "Home region" }, { key: "dataset", label: "Address data" }] }),
	...more,
});
