// Observable Plot, which is most of what the page loads: it comes beside the first answers, not before they are asked for.
export let axisX, axisY, barX, cell, dot, gridX, gridY, lineY, link, plot, rect, ruleX, ruleY, text, tickX;

let loading = null;

/** Before the first chart is drawn. Rejects where it can not be had; the next call tries again. */
export function loadPlot() {
	loading ??= import("./observable.js").then((all) => {
		({ axisX, axisY, barX, cell, dot, gridX, gridY, lineY, link, plot, rect, ruleX, ruleY, text, tickX } = all);
	}, (error) => {
		loading = null;
		throw error;
	});
	return loading;
}
