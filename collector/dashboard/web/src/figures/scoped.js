// A figure that has a step, a filter or a comparison of its own, whatever the page's view says.

const VIEW_FIRST = ["title", "define", "calls", "names", "hidden"];
const ROWS_FIRST = ["more", "chart", "table", "node", "note", "empty"];

/** @param {function} of  (view) -> the view that the figure is to have instead: view.vary() */
export function scoped(spec, of, more = {}) {
	const out = { ...spec };
	for (const key of VIEW_FIRST) if (typeof spec[key] === "function") out[key] = (view, ...rest) => spec[key](of(view), ...rest);
	for (const key of ROWS_FIRST) if (typeof spec[key] === "function") out[key] = (rows, view, ...rest) => spec[key](rows, of(view), ...rest);
	return { ...out, ...more };
}
