import assert from "node:assert/strict";
import { test } from "node:test";
import { lastQuarter, quarterPeriod } from "../src/days.js";
import { exampleCall } from "../src/figures/catalog.js";
import { scoped } from "../src/figures/scoped.js";
import { askable, initialTtl, limits, offBy, servicesOf, ttlRows, verdictDays } from "../src/figures/source.js";
import { campaignsByName, hopsText, ownSources, ttlCells } from "../src/figures/verdicts.js";
import { destination, isAddress, networkFromPath, networkToPath } from "../src/state.js";
import { homeOf, soFar } from "../src/pages/quarter.js";
import { makeView } from "../src/view.js";

test("quarters: the last one that is over, and its days", () => {
	const cases = [["2026-11-28", "2026Q3"], ["2026-01-01", "2025Q4"], ["2026-03-31", "2025Q4"], ["2026-04-01", "2026Q1"]];
	for (const [day, name] of cases) assert.equal(lastQuarter(day), name, day);
	assert.deepEqual(quarterPeriod("2024", 1), { from: "2024-01-01", to: "2024-03-31" });
	assert.deepEqual(quarterPeriod("2026", 4), { from: "2026-10-01", to: "2026-12-31" });
});

test("networks in paths, there and back", () => {
	const cases = [["as-4713", { asn: [4713] }, "AS4713"], ["192.0.2.0-24", { networks: ["192.0.2.0/24"] }, "192.0.2.0/24"], ["2001:DB8::-32", { networks: ["2001:db8::/32"] }, "2001:db8::/32"],
		["group-isp-jp", { network_group: ["isp-jp"] }, "isp-jp"]];
	for (const [part, filter, label] of cases) assert.deepEqual(networkFromPath(part), { label, filter }, part);
	for (const network of ["AS4713", "192.0.2.0/24", "2001:db8::/32"]) assert.equal(networkFromPath(decodeURIComponent(networkToPath(network))).label, network);
	for (const part of ["as-", "as-4294967296", "192.0.2.0-33", "192.0.2.0", "300.0.2.0-24", "2001:db8::-129", "group-", "x-24", "AS4713"]) assert.equal(networkFromPath(part), null, part);
});

test("addresses", () => {
	for (const text of ["192.0.2.1", "2001:db8::1", "::", "::ffff:192.0.2.1"]) assert.equal(isAddress(text), true, text);
	for (const text of ["192.0.2", "192.0.2.256", "1.2.3.4.5", "2001:db8:::1", "x", ""]) assert.equal(isAddress(text), false, text);
});

test("where what was typed leads to", () => {
	assert.equal(destination("group isp jp"), "/network/group-isp%20jp");
	assert.equal(destination("group-a/b"), "/network/group-a%2Fb");
	assert.equal(destination("2026q3"), "/quarter/2026Q3");
	assert.equal(destination("192.0.2.0/24"), "/network/192.0.2.0-24");
	assert.equal(destination("2001:db8::1"), "/source/2001:db8::1");
});

test("examples of the catalog as calls", () => {
	const period = { from: "2026-10-29", to: "2026-11-27" };
	assert.deepEqual(exampleCall("SELECT * FROM report.top_services(daterange(current_date - 30, current_date),\n    '{\"grp\": \"domestic\", \"ports_only\": true}', 5)", "2026-11-28"),
		{ fn: "top_services", period, filter: { grp: "domestic", ports_only: true }, n: "5" });
	assert.deepEqual(exampleCall("SELECT * FROM report.source_region_trend(daterange(current_date - 30, current_date), '{}', 5, 'week')", "2026-11-28"),
		{ fn: "source_region_trend", period, filter: {}, n: "5", step: "week" });
	assert.deepEqual(exampleCall("SELECT * FROM report.source(daterange(current_date - 30, current_date), '192.0.2.1')", "2026-11-28"), { fn: "source", period, src: "192.0.2.1" });
	assert.deepEqual(exampleCall("SELECT * FROM report.response_sources_called_spoofed(daterange(current_date - 30, current_date))", "2026-11-28"), { fn: "response_sources_called_spoofed", period });
	assert.deepEqual(exampleCall("SELECT * FROM report.catalog()", "2026-11-28"), { fn: "catalog" });
	// Nothing is guessed.
	for (const other of ["SELECT rank FROM report.top_services(daterange(current_date - 30, current_date))", "SELECT * FROM report.top_services('[2026-01-01,2026-04-01)')",
		"SELECT * FROM report.ack_packets(daterange(current_date - 30, current_date), '{}', 'day', 5)", "SELECT * FROM report.ack_packets(daterange(current_date - 30, current_date), '{')"]) {
		assert.equal(exampleCall(other, "2026-11-28"), null, other);
	}
});

const campaign = (day, name, sources, holders, packets, more = {}) => ({ day, campaign: name, service: "23/TCP", signature: "23/TCP flags S", hops: { JP: [12] }, claimed_sources: sources, claimed_holders: holders, packets,
	likely_region: "NL", ...more });

test("campaigns by name: claims of days are not added up, packets are", () => {
	const rows = [campaign("2026-11-02", "a", 10, 9, 100, { hops: { JP: [13], AU: [9, 11] }, likely_region: "RU" }), campaign("2026-11-01", "a", 12, 7, 50), campaign("2026-11-01", "b", 30, 20, 30, { likely_region: null })];
	const list = campaignsByName(rows);
	assert.deepEqual(list.map((one) => [one.campaign, one.days, one.first, one.last, one.sources, one.holders, one.packets, one.regions]),
		[["b", 1, "2026-11-01", "2026-11-01", 30, 20, 30, []], ["a", 2, "2026-11-01", "2026-11-02", 12, 9, 150, ["NL", "RU"]]]);
	assert.equal(hopsText(list[1].hops), "AU 9/11, JP 13");
	assert.equal(hopsText({ JP: [5, 9, 7] }), "JP 5~9");
	assert.equal(hopsText(null), "");
});

test("TTLs as a matrix: a region that did not listen is silent, one that saw nothing is empty", () => {
	const row = (region, initial, packets) => ({ sensor_region: region, initial_ttl: initial, ttl_min: 50, ttl_max: 60, sources: packets, packets });
	const { regions, ttls, at, silent, total } = ttlCells([row("JP", 128, 5), row("JP", 64, 3), row("AU", null, 0), row("HK", null, null), row(null, null, 8)]);
	assert.deepEqual(regions, ["JP", "AU", "HK"]);
	assert.deepEqual(ttls, [64, 128]);
	assert.equal(at.get("JP 64").packets, 3);
	assert.deepEqual([...silent], ["HK"]);
	assert.equal(total.packets, 8);
});

const seen = (more) => ({ day: "2026-11-01", sensor_region: "JP", sensor: "jp1", track: 0, packets: 3, responses: 0, services: { "23/TCP": 3 }, ttls: { 52: 2, 51: 1 }, hops: 12, expected_hops: 12.5, verdict: "genuine", score: 2,
	reason: "r", campaign: null, history: [{ version: 1 }], src_region: "JP", ...more });

test("initial TTLs have the classes of the reports", () => {
	assert.deepEqual([1, 26, 27, 64, 65, 128, 129, 255].map(initialTtl), [32, 32, 64, 64, 128, 128, 255, 255]);
});

test("TTLs of a source by region and initial TTL", () => {
	const rows = ttlRows([seen(), seen({ day: "2026-11-02", ttls: { 50: 1 }, hops: 14, expected_hops: 13, packets: 1 }), seen({ sensor_region: "AU", ttls: { 118: 4 }, hops: 10, expected_hops: null, packets: 4 })]);
	assert.deepEqual(rows.map((r) => [r.region, r.initial, r.ttl_min, r.ttl_max, r.hops_min, r.hops_max, r.medians, r.expected, r.packets, r.days]), [
		["AU", 128, 118, 118, 10, 10, [10], null, 4, 1], ["JP", 64, 50, 52, 12, 14, [12, 14], { low: 12.5, high: 13 }, 4, 2]]);
	// A row of two initial TTLs has one median, which lies in one of them.
	const both = ttlRows([seen({ ttls: { 52: 1, 120: 5 }, hops: 8 })]);
	assert.deepEqual(both.map((r) => [r.initial, r.medians, r.packets]), [[64, [], 1], [128, [8], 5]]);
});

test("how far off: the farthest day, 0 within the range, nothing where nothing is expected", () => {
	assert.equal(offBy({ medians: [12, 14], expected: { low: 12.5, high: 13 } }), 1);
	assert.equal(offBy({ medians: [7, 14], expected: { low: 12.5, high: 13 } }), -5.5);
	assert.equal(offBy({ medians: [13], expected: { low: 12.5, high: 13 } }), 0);
	assert.equal(offBy({ medians: [13], expected: null }), null);
	assert.equal(offBy({ medians: [], expected: { low: 1, high: 2 } }), null);
});

test("services of a source: answers are no service", () => {
	assert.deepEqual(servicesOf([seen(), seen({ services: { "22/TCP": 3, "23/TCP": 1 }, packets: 9, responses: 5 })]),
		[{ name: "responses", packets: 5 }, { name: "23/TCP", packets: 4 }, { name: "22/TCP", packets: 3 }]);
});

test("verdicts of a source, a row for each day and sender", () => {
	const rows = verdictDays([seen(), seen({ sensor_region: "AU", sensor: "au1", packets: 2 }), seen({ day: "2026-11-02", track: 128, verdict: "spoofed" }), seen({ day: "2026-11-02", track: 64 })]);
	assert.deepEqual(rows.map((r) => [r.day, r.track, r.verdict, r.packets, r.regions]), [["2026-11-02", 64, "genuine", 3, 1], ["2026-11-02", 128, "spoofed", 3, 1], ["2026-11-01", 0, "genuine", 5, 2]]);
});

const ctx = (viewer) => ({ viewer: { zone: "Asia/Tokyo", today: "2026-11-28", as_of: null, dataset: null, regions: [], everything: true, ...viewer }, sensors: [], regions: [], names: new Map([["AU", "Australia"]]) });
const view = (viewer, fixed = {}, state = {}) => makeView("/x", { from: "2026-11-01", to: "2026-11-27", cmp: "none", filter: {}, ...state }, fixed, ctx(viewer));
const AU = { everything: false, regions: ["AU"] };

test("what a viewer of regions may ask of a source, and that it is told so", () => {
	const fixed = { sources: ["192.0.2.1"] };
	assert.deepEqual(askable(view({}, fixed), "JP"), fixed);
	assert.deepEqual(askable(view(AU, fixed), "AU"), { ...fixed, src_region: ["AU"] });
	assert.deepEqual(askable(view(AU, fixed), "JP"), { ...fixed, sensor_region: ["AU"] });
	assert.equal(limits([seen()], view({}, fixed)), null);
	assert.match(limits([seen()], view(AU, fixed)), /^Only what sensors in Australia saw/);
	assert.match(limits([seen({ src_region: "AU" })], view(AU, fixed)), /^Registered in Australia/);
});

test("lists of sources of a viewer of regions", () => {
	assert.deepEqual(ownSources(view({})), {});
	assert.deepEqual(ownSources(view(AU)), { src_region: ["AU"] });
	assert.deepEqual(ownSources(view(AU, { sensor_region: ["AU"] })), {});
	assert.deepEqual(ownSources(view(AU, {}, { filter: { src_region: ["AU"] } })), {});
});

test("a figure's own view: its filter and step, the page's links", () => {
	const page = view({}, { asn: [4713] }, { step: "auto", filter: { exclude: ["response"] } });
	const own = page.vary({ step: "month", cmp: "previous" }, { grp: "domestic" });
	assert.deepEqual(own.filter, { exclude: ["response"], asn: [4713], grp: "domestic" });
	assert.equal(own.step, "month");
	assert.notEqual(own.before, null);
	assert.equal(own.link("/r/JP"), page.link("/r/JP"));
	const spec = scoped({ name: "x", define: "words", title: (v) => v.step, calls: (v) => v.filter, chart: (rows, v, width) => [rows, v.step, width] }, (v) => v.vary({ step: "week" }, { grp: "overseas" }));
	assert.equal(spec.define, "words");
	assert.equal(spec.title(page), "week");
	assert.equal(spec.calls(page).grp, "overseas");
	assert.deepEqual(spec.chart("rows", page, 300), ["rows", "week", 300]);
});

test("links to pages without a filter drop it", () => {
	const page = view({}, {}, { filter: { services: ["23/TCP"], exclude: ["response"] } });
	for (const path of ["/source/192.0.2.1", "/quarter/2026Q3"]) assert.equal(page.link(path).includes("exclude"), false, path);
	assert.match(page.link("/network/as-4713"), /exclude=response/);
});

test("what a file says it shows is what was asked for", () => {
	const page = view({});
	assert.match(page.source({}, { period: { from: "2026-07-01", to: "2026-09-30" }, filter: { grp: "domestic" } }), /1 Jul 2026 to 30 Sep 2026.*grp = domestic/);
});

test("whose quarter it is", () => {
	const regions = [{ region: "JP" }, { region: "AU" }];
	const of = (viewer) => homeOf({ viewer: { home_region: "JP", everything: false, regions: [], ...viewer }, regions });
	assert.equal(of({ everything: true }), "JP");
	assert.equal(of({ regions: ["AU"] }), "AU");
	assert.equal(of({ regions: ["AU", "JP"] }), "JP");
	assert.equal(of({ regions: ["NZ"] }), "JP"); // no sensors there
});

test("a quarter that is not over ends today", () => {
	const period = { from: "2026-10-01", to: "2026-12-31" };
	assert.deepEqual(soFar(period, "2026-11-28"), { from: "2026-10-01", to: "2026-11-28" });
	assert.deepEqual(soFar(period, "2026-12-31"), period);
	assert.deepEqual(soFar(period, "2027-01-01"), period);
});
