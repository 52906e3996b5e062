// The controls of a view: period, measure, scale, comparison, step, zone and filter. All they do is change the address.
import { STEPS, isDay, next, presets, previous } from "./days.js";
import { h, newId, replace } from "./dom.js";
import { filterForm, filterChips } from "./filter_bar.js";
import { STEP_NAMES, countDays, formatPeriod, inZone, offsetOf } from "./format.js";
import { isShort, stepOf } from "./axis.js";

const ZONES = ["UTC", "Asia/Tokyo", "Australia/Sydney", "Asia/Hong_Kong", "Asia/Colombo", "Asia/Seoul", "Asia/Taipei", "Asia/Kuala_Lumpur", "Asia/Brunei", "Africa/Accra",
	"Africa/Casablanca", "Europe/Berlin", "America/New_York"];

/** Radio buttons that look like one switch. */
function choice(name, legend, options, onchange) {
	const inputs = options.map(([value, label]) => {
		const input = h("input", { type: "radio", name, value, onchange: () => onchange(value) });
		return { value, input, node: h("label", null, input, h("span", null, label)) };
	});
	return { node: h("fieldset", { class: "choice" }, h("legend", { class: "quiet" }, legend), inputs.map((i) => i.node)),
		set(value) { inputs.forEach((i) => { i.input.checked = i.value === value; }); } };
}

function select(label, options, onchange) {
	const input = h("select", { onchange: () => onchange(input.value) }, options.map(([value, text]) => h("option", { value }, text)));
	return { node: h("label", { class: "pick" }, h("span", null, label), input), input };
}

/** A button and what it opens below it; Escape closes it and gives the focus back. */
function popup(label, panelClass) {
	const panel = h("div", { class: `popup ${panelClass}`, id: newId("popup"), hidden: true });
	const button = h("button", { type: "button", class: "opener", "aria-expanded": "false", "aria-controls": panel.id }, label);
	const set = (open) => {
		panel.hidden = !open;
		button.setAttribute("aria-expanded", String(open));
		// To the left of the button's right edge where it would leave the window.
		panel.classList.remove("from-right");
		if (open && panel.getBoundingClientRect().right > document.documentElement.clientWidth - 8) panel.classList.add("from-right");
	};
	const node = h("div", { class: "popup-place" }, button, panel);
	button.addEventListener("click", () => {
		set(panel.hidden);
		if (!panel.hidden) panel.querySelector("[aria-current=true], input, select, button")?.focus();
	});
	node.addEventListener("keydown", (event) => {
		if (event.key !== "Escape" || panel.hidden) return;
		set(false);
		button.focus();
	});
	document.addEventListener("pointerdown", (event) => { if (!node.contains(event.target)) set(false); });
	return { node, button, panel, close: () => set(false), get open() { return !panel.hidden; } };
}

export function viewBar({ change, navigate }) {
	let view = null;
	const period = popup("Period", "periods");
	const filter = popup("Filter", "filters");
	const live = h("span", { class: "live" });
	const earlier = h("button", { type: "button", class: "shift", "aria-label": "Period before", title: "Period before", onclick: () => setPeriod(previous(view.period)) }, "‹");
	const later = h("button", { type: "button", class: "shift", "aria-label": "Period after", title: "Period after", onclick: () => setPeriod(next(view.period)) }, "›");
	const measure = choice("measure", "Measure", [["packets", "Packets"], ["hosts", "Hosts"]], (v) => change({ measure: v }));
	const scale = choice("scale", "Scale", [["linear", "Linear"], ["log", "Log"]], (v) => change({ scale: v }));
	const cmp = select("Compare with", [["none", "nothing"], ["previous", "period before"], ["year", "year before"]], (v) => change({ cmp: v }));
	const step = select("Step", [["auto", "by length"], ...STEPS.map((one) => [one, one === "15min" ? STEP_NAMES[one] : one])], (v) => change({ step: v }));
	const zone = select("Hours of", [], (v) => change({ tz: v === view.zone ? null : v }));
	const chips = h("div", { class: "chips" });
	const problems = h("div", { class: "problems", role: "alert", hidden: true });
	const note = h("p", { class: "zone-note" });
	const node = h("div", { class: "view-bar", role: "region", "aria-label": "View" },
		h("div", { class: "view-line" }, h("div", { class: "period" }, earlier, period.node, later), measure.node, scale.node, cmp.node, step.node, zone.node, filter.node, live),
		chips, problems, note);

	/** Another period is another place to come back to. */
	function setPeriod(p) {
		period.close();
		navigate(location.pathname + view.query(p));
	}

	function showPeriod() {
		const { first_day: firstDay, today } = view.ctx.viewer;
		const from = h("input", { type: "date", name: "from", value: view.period.from, min: firstDay, max: today, required: true });
		const to = h("input", { type: "date", name: "to", value: view.period.to, min: firstDay, max: today, required: true });
		const wrong = h("p", { class: "field-error", role: "alert", hidden: true });
		replace(period.panel, h("div", { class: "presets" }, presets(today).map(([, label, p]) => {
			const here = p.from === view.period.from && p.to === view.period.to;
			return h("button", { type: "button", "aria-current": here ? "true" : null, onclick: () => { setPeriod(p); period.button.focus(); } }, h("span", null, label),
				h("small", null, formatPeriod(p)));
		})), h("form", { class: "custom", novalidate: true, onsubmit: (event) => {
			event.preventDefault();
			const p = { from: from.value, to: to.value };
			const problem = !isDay(p.from) || !isDay(p.to) ? "Write both days as 2026-11-27." : p.from > p.to ? "The period ends before it begins." : null;
			wrong.hidden = !problem;
			wrong.textContent = problem ?? "";
			if (!problem) { setPeriod(p); period.button.focus(); }
		} }, h("label", null, "From", from), h("label", null, "To", to), h("button", { type: "submit", class: "primary" }, "Show"), wrong,
		h("p", { class: "hint" }, `Days of ${view.zone}, both included.`)));
	}

	period.button.addEventListener("click", () => { if (period.open) { showPeriod(); period.panel.querySelector("[aria-current=true], button")?.focus(); } });
	filter.button.addEventListener("click", () => {
		if (!filter.open) return;
		replace(filter.panel, filterForm(view, (values) => {
			filter.close();
			navigate(location.pathname + view.query({ filter: values }));
			filter.button.focus();
		}));
		filter.panel.querySelector("select, input")?.focus();
	});

	return {
		node,
		status(asOf, zoneName) {
			const at = asOf ? inZone(new Date(asOf), zoneName) : null;
			replace(live, h("span", { class: "dot", "aria-hidden": "true" }), at ? `as of ${at.time}` : "no data yet");
			live.title = "Newer data come by themselves.";
		},
		show(nextView, page) {
			view = nextView;
			const controls = { measure: true, scale: true, cmp: true, step: true, period: true, filter: true, ...page.controls };
			replace(period.button, h("span", { class: "quiet" }, "Period: "), h("span", { class: "strong" }, formatPeriod(view.period)), " ", h("span", { class: "muted" }, countDays(view.period)));
			later.disabled = next(view.period).from > view.ctx.viewer.today;
			earlier.disabled = Boolean(view.ctx.viewer.first_day) && previous(view.period).to < view.ctx.viewer.first_day;
			measure.set(view.measure);
			scale.set(view.scale);
			cmp.input.value = view.cmp;
			step.input.value = view.step;
			for (const [name, one] of Object.entries({ measure, scale, cmp, step })) one.node.hidden = !controls[name];
			period.node.parentElement.hidden = !controls.period;
			filter.node.hidden = !controls.filter;
			const hourly = controls.step && isShort(stepOf(view));
			zone.node.hidden = !hourly;
			if (hourly) {
				const zones = [...new Set([view.zone, view.tz, ...ZONES, Intl.DateTimeFormat().resolvedOptions().timeZone].filter(Boolean))];
				replace(zone.input, zones.map((z) => h("option", { value: z, selected: z === (view.tz ?? view.zone) }, z)));
			}
			note.hidden = !hourly || !view.tz || view.tz === view.zone;
			replace(note, `Hours of charts by ${STEP_NAMES[stepOf(view)]} are those of ${view.tz} (${offsetOf(new Date(), view.tz ?? view.zone)}); days and hosts are those of the reporting zone, ${view.zone}.`);
			const count = Object.keys(view.state.filter).length;
			replace(filter.button, "Filter", count > 0 ? [" ", h("span", { class: "count" }, count), h("span", { class: "quiet" }, " set")] : null);
			replace(chips, filterChips(view, (values) => navigate(location.pathname + view.query({ filter: values }))));
			chips.hidden = chips.childElementCount === 0;
			problems.hidden = view.state.problems.length === 0;
			replace(problems, view.state.problems.map((text) => h("p", null, `Not used from the address: ${text}.`)));
		},
	};
}
