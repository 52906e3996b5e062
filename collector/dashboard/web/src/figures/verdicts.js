// Is it real: campaigns, verdicts over time, sources that are not what they claim.
import { stepOf, timeAxis } from "../axis.js";
import { heightFor } from "../chart/base.js";
import { lines } from "../chart/lines.js";
import { matrix } from "../chart/matrix.js";
import { pivot } from "../chart/series.js";
import { addDays } from "../days.js";
import { h } from "../dom.js";
import { STEP_NAMES, formatDay, formatInstant, number, percent, plural } from "../format.js";
import { serviceToPath } from "../state.js";

export const plain = (src) => String(src).replace(/\/(32|128)$/, "");
export const verdictTag = (verdict) => h("span", { class: `verdict ${verdict}` }, verdict);
/**
 * Where a viewer of regions is listed single sources: registered there. It says so wherever it is done.
 * @return {object} keys for the filter
 */
export const ownSources = (view) => (view.ctx.viewer.everything || view.filter.src_region || view.filter.sensor_region || view.filter.sensors ? {} : { src_region: view.ctx.viewer.regions });
export const ownWords = (view) => (Object.keys(ownSources(view)).length === 0 ? "" : ` Only sources registered in ${view.ctx.viewer.regions.map(view.regionName).join(", ")}: single ones elsewhere are not shown to you.`);

/** Hop counts of a campaign as people compare them: "AU 18, HK 13". */
export const hopsText = (hops) => Object.entries(hops ?? {}).sort(([a], [b]) => a.localeCompare(b)).map(([region, one]) => {
	const list = [one].flat();
	return `${region === "ZZ" ? "others" : region} ${list.length > 2 ? `${Math.min(...list)}~${Math.max(...list)}` : list.join("/")}`;
}).join(", ");

/**
 * Campaigns by name. A campaign's name is of its day; the same name on another day is the same tool with the same initial
 * TTL. Numbers of days are never added up, except packets.
 */
export function campaignsByName(rows) {
	const by = new Map();
	for (const row of rows) by.set(row.campaign, [...(by.get(row.campaign) ?? []), row]);
	return [...by].map(([campaign, list]) => {
		const days = [...list].sort((a, b) => a.day.localeCompare(b.day));
		const latest = days[days.length - 1];
		return {
			campaign, service: latest.service, signature: latest.signature, days: new Set(list.map((row) => row.day)).size, first: days[0].day, last: latest.day,
			sources: Math.max(...list.map((row) => row.claimed_sources)), holders: Math.max(...list.map((row) => row.claimed_holders)),
			packets: list.reduce((sum, row) => sum + Number(row.packets), 0), hops: latest.hops, regions: [...new Set(days.map((row) => row.likely_region).filter(Boolean))],
			by: new Map(list.map((row) => [row.day, row])),
		};
	}).sort((a, b) => b.holders - a.holders || b.packets - a.packets || a.campaign.localeCompare(b.campaign));
}

const campaignCall = (view) => ({ now: { fn: "spoof_campaigns", period: view.period, filter: view.with({}) } });
const NO_CAMPAIGN = ({ now }) => (now.length === 0 ? "No campaign was found in this period." : null);

export const campaigns = (more = {}) => ({
	name: "campaigns", title: "Campaigns", span: 12,
	define: "One machine, many claimed origins: sources of unrelated networks that use the same tool and arrive with the same hop counts. A campaign has its name for a day; days of one name (same tool, same initial TTL) are in one row here, one by one in the CSV. Addresses that it claims are probably real hosts elsewhere: write to nobody about them.",
	calls: campaignCall, empty: NO_CAMPAIGN,
	table: ({ now }, view) => ({ rows: campaignsByName(now), class: "list", columns: [
		{ key: "campaign", label: "Campaign", class: "whole-line", cell: (row) => h("code", null, row.campaign) },
		{ key: "service", label: "Service", cell: (row) => (row.service ? h("a", { href: view.link(`/service/${serviceToPath(row.service)}`) }, row.service) : "–") },
		{ key: "signature", label: "In common", cell: (row) => h("span", { class: "muted" }, String(row.signature ?? "").replace(`${row.service} `, "")) },
		{ key: "first", label: "Days", class: "whole-line", cell: (row) => (row.first === row.last ? formatDay(row.first) : [`${formatDay(row.first).replace(/ \d{4}$/, "")} – ${formatDay(row.last)}`, h("br"), h("span", { class: "muted" }, plural(row.days, "day"))]) },
		{ key: "holders", label: "Networks claimed on a day, most", kind: "number" }, { key: "sources", label: "Sources claimed on a day, most", kind: "number" },
		{ key: "packets", label: "Packets", kind: "number" },
		{ key: "hops", label: "Hops to sensors in", of: (row) => hopsText(row.hops), class: "wrap" },
		{ key: "regions", label: "Likely from", of: (row) => row.regions.map(view.regionName).join(", ") || "not known" }] }),
	...more,
});

const SHOWN = 12;

export const campaignDays = (more = {}) => ({
	name: "campaign-days", title: "Networks claimed, day by day", span: 7, height: 260,
	define: `Claimed networks of each campaign and day; an empty cell: not found that day. The ${SHOWN} largest.`,
	calls: campaignCall, empty: NO_CAMPAIGN,
	chart({ now }, view, width) {
		const list = campaignsByName(now).slice(0, SHOWN);
		const days = [];
		for (let day = view.period.from; day <= view.period.to && day <= view.ctx.viewer.today; day = addDays(day, 1)) days.push(day);
		const max = Math.max(...list.map((one) => one.holders), 1);
		const every = Math.max(1, Math.ceil(days.length / Math.max(3, Math.floor(width / 100))));
		return matrix({
			width, rowHeight: 24, maxCell: 34,
			rows: list.map((one) => ({ label: one.service ?? one.campaign, sub: one.regions.length === 1 ? `likely ${one.regions[0]}` : "" })),
			columns: days.map((day, i) => ({ label: i % every === 0 ? formatDay(day).replace(/ \d{4}$/, "") : "", left: true, head: formatDay(day, true) })),
			at(r, c) {
				const row = list[r].by.get(days[c]);
				if (!row) return {};
				return { share: row.claimed_holders / max, text: String(row.claimed_holders), value: plural(row.claimed_holders, "network"), more: `${plural(row.claimed_sources, "source")}, ${plural(row.packets, "packet")}; ${row.campaign}` };
			},
		});
	},
	table: ({ now }, view) => ({ rows: now, columns: [{ key: "day", label: "Day", kind: "day" }, { key: "campaign", label: "Campaign" }, { key: "service", label: "Service" }, { key: "signature", label: "In common" },
		{ key: "claimed_holders", label: "Networks claimed", kind: "number" }, { key: "claimed_sources", label: "Sources claimed", kind: "number" }, { key: "packets", label: "Packets", kind: "number" },
		{ key: "hops", label: "Hops", of: (row) => hopsText(row.hops) }, { key: "likely_region", label: "Likely from", of: (row) => row.likely_region && view.regionName(row.likely_region) },
		{ key: "first_seen", label: "First seen", cell: (row) => formatInstant(row.first_seen, view.zone) }, { key: "last_seen", label: "Last seen", cell: (row) => formatInstant(row.last_seen, view.zone) }] }),
	...more,
});

/** Rows of report.ttl_by_region as a matrix. @return {{regions, ttls, at: Map, total}} */
export function ttlCells(rows) {
	const listed = rows.filter((row) => row.sensor_region !== null);
	const at = new Map(listed.filter((row) => row.initial_ttl !== null).map((row) => [`${row.sensor_region} ${row.initial_ttl}`, row]));
	return {
		regions: [...new Set(listed.map((row) => row.sensor_region))], ttls: [...new Set(listed.map((row) => row.initial_ttl).filter((ttl) => ttl !== null))].sort((a, b) => a - b), at,
		silent: new Set(listed.filter((row) => row.packets === null).map((row) => row.sensor_region)), total: rows.find((row) => row.sensor_region === null) ?? null,
	};
}

/** R19, as TSUBAME prints it: regions of sensors against initial TTLs. */
export const ttlMatrix = (more = {}) => ({
	name: "ttl-matrix", title: "TTLs, regions by initial TTL", span: 12, height: 330,
	define: "Lowest ~ highest TTL of packets at the sensors of a region, by the initial TTL that they began with; shaded by hosts, a region’s most frequent initial TTL darkest. One network’s packets arrive in a region within few TTLs; what claims to be one and spreads is many, or forged.",
	calls: (view) => ({ now: { fn: "ttl_by_region", period: view.period, filter: view.with({}) } }),
	empty: ({ now }) => (now.every((row) => !row.sources) ? "No TTLs are known of this period." : null),
	chart({ now }, view, width) {
		const { regions, ttls, at, silent } = ttlCells(now);
		const most = new Map(regions.map((region) => [region, Math.max(...ttls.map((ttl) => Number(at.get(`${region} ${ttl}`)?.sources ?? 0)))]));
		return matrix({
			width, rowHeight: 26, maxCell: 150, gap: 2,
			rows: regions.map((region) => ({ label: view.regionName(region), href: region === "ZZ" ? undefined : view.link(`/r/${region}`) })),
			columns: ttls.map((ttl) => ({ label: width < 460 ? String(ttl) : `from ${ttl}`, head: `initial TTL ${ttl}` })),
			at(r, c) {
				if (silent.has(regions[r])) return { share: null, value: "no coverage" };
				const row = at.get(`${regions[r]} ${ttls[c]}`);
				if (!row?.packets) return {};
				return { share: most.get(regions[r]) > 0 ? row.sources / most.get(regions[r]) : 0, text: `${row.ttl_min} ~ ${row.ttl_max}`, value: `TTL ${row.ttl_min} ~ ${row.ttl_max}`,
					more: `${row.hops_min} ~ ${row.hops_max} hops; middle 90 % ${row.ttl_p5} ~ ${row.ttl_p95}; ${plural(row.sources, "host")}, ${plural(row.packets, "packet")}` };
			},
		});
	},
	table: ({ now }, view) => ({ rows: now, columns: [
		{ key: "sensor_region", label: "Sensor region", of: (row) => row.sensor_region ?? "all", cell: (row) => (row.sensor_region ? view.regionName(row.sensor_region) : "All regions") },
		{ key: "initial_ttl", label: "Initial TTL", kind: "number" }, { key: "ttl_min", label: "Lowest TTL", kind: "number" }, { key: "ttl_max", label: "Highest TTL", kind: "number" },
		{ key: "ttl_p5", label: "5 %", kind: "number" }, { key: "ttl_p95", label: "95 %", kind: "number" }, { key: "hops_min", label: "Fewest hops", kind: "number" },
		{ key: "hops_max", label: "Most hops", kind: "number" }, { key: "sources", label: "Hosts", kind: "number" }, { key: "packets", label: "Packets", kind: "number" }, { key: "covered", label: "Covered", kind: "share" }] }),
	note({ now }) {
		const { total } = ttlCells(now);
		return total?.sources ? `All regions together: TTL ${total.ttl_min} ~ ${total.ttl_max}, ${plural(total.sources, "distinct host")}, ${plural(total.packets, "packet")}.` : null;
	},
	...more,
});

/** A share and its interval, as series of per cents. */
function shareSeries(name, rows, keys, of) {
	const at = new Map(rows.map((row) => [of(row), row]));
	const list = keys.map((key) => at.get(key) ?? null);
	const hundred = (v) => (v === null || v === undefined ? null : v * 100);
	return { name, values: list.map((row) => hundred(row?.share)), low: list.map((row) => hundred(row?.interval?.[0])), high: list.map((row) => hundred(row?.interval?.[1])), list };
}

const sayShare = (v) => percent(v / 100);
const range = (row) => (row?.interval ? `95 %: ${percent(row.interval[0])} to ${percent(row.interval[1])}` : "");
/** Weeks and months are as good as days; verdicts are not made below a day. */
const verdictStep = (view) => stepOf(view, "day");
const shareCall = (view) => ({ now: { fn: "verdict_share", period: view.period, filter: verdictFilter(view), step: verdictStep(view) } });

/** verdict_share cannot leave out what it counts. */
function verdictFilter(view) {
	const exclude = (view.filter.exclude ?? []).filter((key) => key !== "spoofed");
	return view.with({ exclude: exclude.length > 0 ? exclude : undefined });
}
const shareColumns = (view) => [{ key: "step_start", label: "From", cell: (row) => formatInstant(row.step_start, view.zone).replace(/,.*/, "") },
	{ key: "share", label: "Spoofed of those decided", kind: "share" }, { key: "low", label: "95 % from", kind: "share", of: (row) => row.interval?.[0] ?? null },
	{ key: "high", label: "to", kind: "share", of: (row) => row.interval?.[1] ?? null }, { key: "spoofed", label: "Spoofed", kind: "number" }, { key: "genuine", label: "Genuine", kind: "number" },
	{ key: "undetermined", label: "Undetermined", kind: "number" }, { key: "packets_spoofed", label: "Packets, spoofed", kind: "number" }, { key: "packets_genuine", label: "Packets, genuine", kind: "number" },
	{ key: "packets_undetermined", label: "Packets, undetermined", kind: "number" }];

export const verdictShare = (more = {}) => ({
	name: "verdict-share", title: "Share of spoofed hosts", span: 6, height: 270,
	define: (view) => `Spoofed hosts of those decided, by ${STEP_NAMES[verdictStep(view)]}, with the 95 % Wilson interval; none under 30 decided hosts. The interval knows nothing of wrong verdicts, nor that few senders make many spoofed sources.`,
	calls: shareCall,
	empty: ({ now }) => (now.every((row) => row.spoofed === null) ? "No sensor listened in this period." : now.every((row) => row.share === null) ? "Fewer than 30 hosts were decided in each step: no share is told." : null),
	chart({ now }, view, width) {
		const axis = timeAxis(now, view, verdictStep(view));
		const { list, ...one } = shareSeries("Spoofed", now, axis.keys, axis.of);
		const series = { ...one, notes: list.map((row) => (!row || row.spoofed === null ? "no coverage" : row.share === null ? "under 30 decided hosts" : `${range(row)}; ${number(row.spoofed)} of ${number(Number(row.spoofed) + Number(row.genuine))} decided hosts`)) };
		return lines({ width, height: heightFor(width, 250), xs: axis.xs, xTexts: axis.texts, scale: view.scale, say: sayShare, unit: "% of decided hosts", labels: false, missing: "no share", series: [{ ...series, colour: "var(--s2)", dash: "none" }] });
	},
	table: ({ now }, view) => ({ rows: now, columns: shareColumns(view) }),
	...more,
});

const LOOK = { spoofed: "var(--s2)", genuine: "var(--s3)", undetermined: "var(--s7)" };

export const verdictCounts = (more = {}) => ({
	name: "verdict-counts", title: (view) => (view.measure === "hosts" ? "Hosts by verdict" : "Packets by verdict"), span: 6, height: 270,
	define: (view) => `${view.measure === "hosts" ? "Hosts by the verdict of the day of the step that decides; mixed counts as spoofed" : "Packets by the verdict of their own day and sender"}, by ${STEP_NAMES[verdictStep(view)]}. Undetermined is what TTLs do not tell, not what is half spoofed.`,
	calls: shareCall,
	empty: ({ now }) => (now.every((row) => row.spoofed === null) ? "No sensor listened in this period." : null),
	chart({ now }, view, width) {
		const axis = timeAxis(now, view, verdictStep(view));
		const column = (kind) => (view.measure === "hosts" ? kind : `packets_${kind}`);
		return lines({ width, height: heightFor(width, 250), xs: axis.xs, xTexts: axis.texts, scale: view.scale, say: number, unit: view.measure,
			series: Object.entries(LOOK).map(([kind, colour]) => ({ name: kind, colour, values: [...pivot(now, axis.keys, { step: axis.of, series: () => kind, value: (row) => row[column(kind)] }).values()][0] ?? axis.keys.map(() => null) })) });
	},
	table: ({ now }, view) => ({ rows: now, columns: shareColumns(view) }),
	...more,
});

export const responseCheck = (more = {}) => ({
	name: "response-check", title: "Check: answers called spoofed", span: 5, height: 230,
	define: "Who answers to packets that carried our addresses is hardly ever spoofed itself: share of such hosts that a verdict calls spoofed, with its 95 % interval. Of all sensors, whatever the filter. High values mean that verdicts of these days deserve doubt.",
	calls: (view) => ({ now: { fn: "response_sources_called_spoofed", period: view.period } }),
	empty: ({ now }) => (now.every((row) => !row.n) ? "No answers were judged in this period." : null),
	chart({ now }, view, width) {
		const axis = timeAxis(now, view, "day");
		const { list, ...one } = shareSeries("Called spoofed", now, axis.keys, (row) => row.day);
		return lines({ width, height: heightFor(width, 210), xs: axis.xs, xTexts: axis.texts, scale: view.scale, say: sayShare, unit: "% of hosts that answer", labels: false, missing: "no share",
			series: [{ ...one, notes: list.map((row) => (row?.n ? `${range(row)}; ${number(row.called_spoofed)} of ${number(row.n)}` : row?.n === 0 ? "no host that answers was judged" : "not judged yet")), colour: "var(--s4)", dash: "none" }] });
	},
	table: ({ now }) => ({ rows: now, columns: [{ key: "day", label: "Day", kind: "day" }, { key: "n", label: "Hosts that answer", kind: "number" }, { key: "called_spoofed", label: "Called spoofed", kind: "number" },
		{ key: "share", label: "Share", kind: "share" }, { key: "low", label: "95 % from", kind: "share", of: (row) => row.interval?.[0] ?? null }, { key: "high", label: "to", kind: "share", of: (row) => row.interval?.[1] ?? null }] }),
	...more,
});

const sourceColumns = (view, { verdict = false } = {}) => [
	{ key: "src", label: "Source", of: (row) => plain(row.src), cell: (row) => h("a", { href: view.link(`/source/${plain(row.src)}`) }, plain(row.src)) },
	{ key: "src_region", label: "Region, claimed", cell: (row) => (row.verdict === "genuine" ? view.regionName(row.src_region) : [view.regionName(row.src_region), h("span", { class: "muted" }, " claimed")]) },
	...(verdict ? [{ key: "verdict", label: "Verdict", cell: (row) => verdictTag(row.verdict) }] : []),
	{ key: "score", label: "Score", kind: "number", cell: (row) => (row.score === null ? "–" : row.score.toFixed(1).replace("-", "−")) },
	{ key: "day", label: "Day that decides", kind: "day" },
	{ key: "reason", label: "Reason", class: "wrap reason" },
	{ key: "nearest_region", label: "Fits best", of: (row) => row.nearest_region && view.regionName(row.nearest_region) },
	{ key: "packets_spoofed", label: "Packets, spoofed", kind: "number" }, { key: "packets_genuine", label: "genuine", kind: "number" }, { key: "packets_undetermined", label: "undetermined", kind: "number" },
	{ key: "days_spoofed", label: "Days, spoofed", kind: "number" }, { key: "days_genuine", label: "genuine", kind: "number" }, { key: "days_undetermined", label: "undetermined", kind: "number" }];

/** @param {string[]} only  verdicts to show; rows come most spoofed first */
export const verdictList = ({ n = 25, only = null, ...more } = {}) => ({
	name: "verdicts", title: only ? "Spoofed sources, and why" : "Sources and their verdicts", span: 12,
	define: (view) => `Sources by verdict and score (log10 of the likelihood ratio genuine : spoofed), ${only ? "the most certainly spoofed first" : "spoofed first"}. Regions are claimed where a source is not genuine.${ownWords(view)}`,
	calls: (view) => ({ now: { fn: "spoof_verdict", period: view.period, filter: view.with(ownSources(view)), n } }),
	empty: ({ now }) => ((only ? now.filter((row) => only.includes(row.verdict)) : now).length === 0 ? (only ? "No source was found to be spoofed in this period." : "No source was seen in this period.") : null),
	table: ({ now }, view) => ({ rows: only ? now.filter((row) => only.includes(row.verdict)) : now, columns: sourceColumns(view, { verdict: true }), class: "list" }),
	note: ({ now }) => (now.length === n ? `The first ${n}; the SQL without n has all.` : null),
	...more,
});

/** Sources that were genuine on some days and spoofed on others. */
export const verdictChanges = ({ n = 25, ...more } = {}) => ({
	name: "verdict-changes", title: "Verdict changed", span: 12,
	define: (view) => `Sources that were found genuine on some days of the period and spoofed on others, or both on one (mixed): somebody uses the address of a real host, or its path changed. Most packets first.${ownWords(view)}`,
	calls: (view) => ({ now: { fn: "verdict_changes", period: view.period, filter: view.with(ownSources(view)), n } }),
	empty: ({ now }) => (now.length === 0 ? "No source was genuine on one day and spoofed on another." : null),
	table: ({ now }, view) => ({ rows: now, columns: sourceColumns(view, { verdict: true }), class: "list" }),
	note: ({ now }) => (now.length === n ? `The first ${n}; the SQL without n has all.` : null),
	...more,
});
