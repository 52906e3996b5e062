// Tables: twins of charts, and those that stand for themselves. Numbers carry their exact value in data-value.
import { NONE, formatDay, number, percent } from "./format.js";
import { h, replace } from "./dom.js";

const TEXT = {
	number, share: percent, day: (v) => formatDay(v), text: (v) => (v === null || v === undefined || v === "" ? NONE : String(v)),
};
const ALIGN = { number: "num", share: "num" };

/**
 * @param {object} t  {caption, columns: [{key, label, kind: number|share|day|text, cell(row) -> node, of(row) -> value, title, sort}], rows,
 *     sortable, class, order: {key, down} that it is sorted by, kept up to date}
 */
export function table({ caption, columns, rows, sortable = true, order = { key: null, down: false }, class: kind = null, hideCaption = false }) {
	const value = (column, row) => (column.of ? column.of(row) : row[column.key]);
	const body = h("tbody");
	const cell = (column, row, first) => {
		const v = value(column, row);
		const as = column.kind ?? "text";
		const inside = column.cell ? column.cell(row) : TEXT[as](v);
		const attributes = { class: [ALIGN[as], column.class].filter(Boolean).join(" ") || null,
			"data-value": v === null || v === undefined || typeof v === "object" ? null : v };
		return first ? h("th", { scope: "row", ...attributes }, inside) : h("td", attributes, inside);
	};
	const fill = () => {
		const column = columns.find((c) => c.key === order.key);
		const list = column ? [...rows].sort((a, b) => compare(value(column, a), value(column, b)) * (order.down ? -1 : 1)) : rows;
		heads.forEach((head, i) => {
			if (column && columns[i] === column) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
			else head.removeAttribute("aria-sort");
		});
		replace(body, list.map((row) => h("tr", null, columns.map((c, i) => cell(c, row, i === 0)))));
	};
	const heads = columns.map((column) => {
		const th = h("th", { scope: "col", class: [ALIGN[column.kind], column.class].filter(Boolean).join(" ") || null, title: column.title });
		if (!sortable || rows.length < 2 || column.sort === false) {
			th.append(column.label);
			return th;
		}
		th.append(h("button", { type: "button", class: "sort", onclick: () => {
			Object.assign(order, { key: column.key, down: order.key === column.key ? !order.down : column.kind === "number" || column.kind === "share" });
			fill();
		} }, column.label));
		return th;
	});
	fill();
	// Wide tables scroll by themselves, also by keyboard.
	return h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": caption },
		h("table", { class: kind }, h("caption", { class: hideCaption ? "quiet" : null }, caption), h("thead", null, h("tr", null, heads)), body));
}

/** What is not known is less than anything; numbers in texts count as numbers. */
export function compare(a, b) {
	const none = (v) => v === null || v === undefined;
	if (none(a) || none(b)) return none(a) - none(b) === 0 ? 0 : none(a) ? -1 : 1;
	if (typeof a === "number" && typeof b === "number") return a - b;
	return String(a).localeCompare(String(b), "en", { numeric: true });
}
