import assert from "node:assert/strict";
import { test } from "node:test";
import { timeAxis } from "../src/axis.js";
import { nearest, step } from "../src/chart/host.js";
import { wrap } from "../src/chart/svg.js";
import { byWeekday } from "../src/figures/calendar.js";
import { dump } from "../src/figures/lists.js";
import { trendScore } from "../src/figures/rising.js";
import { coveredShare, lastWhole, meanOf } from "../src/figures/summary.js";
import { evenColumns } from "../src/figures/trends.js";
import { makeView } from "../src/view.js";
import { parseState } from "../src/state.js";

const ctx = { viewer: { today: "2026-11-29", zone: "Asia/Tokyo", as_of: "2026-11-29T03:00:00Z", dataset: "rir of 2026-11-01" }, names: new Map([["JP", "Japan"]]), sensors: [],
	regions: [{ region: "JP", sensors: 3, shown: true }, { region: "GH", sensors: 1, shown: false }, { region: "MA", sensors: 1, shown: false }] };
const view = (search, fixed = {}) => makeView("/", parseState(search), fixed, ctx);

test("the trend score is that of its formula", () => {
	assert.deepEqual(trendScore(30, [20, 20, 20]), { score: 10 / Math.sqrt(20), mean: 20 });
	assert.equal(trendScore(10, [20, null, 20]).score < 0, true);
	assert.equal(trendScore(6, [0, 0]).score, 6); // s at least 1
	assert.equal(trendScore(null, [1]), null);
	assert.equal(trendScore(5, [null, null]), null);
});

test("a mean divides by covered address-days, and leaves out what nobody heard", () => {
	assert.equal(meanOf([{ packets: 10, covered_address_days: 1 }, { packets: 50, covered_address_days: 2 }, { packets: 7, covered_address_days: 0 }]), 20);
	assert.equal(meanOf([{ packets: null, covered_address_days: null }]), null);
});

test("coverage is of the time until as_of; of whole regions of all their sensors", () => {
	const start = "2026-11-28T15:00:00Z"; // 29 November in Tokyo, twelve hours before as_of
	const today = view("?from=2026-11-29&to=2026-11-29");
	assert.equal(coveredShare([{ step_start: start, sensor: "a", region: "JP", covered_seconds: 21600 }], today), 0.5);
	assert.equal(coveredShare([{ step_start: start, sensor: null, region: "JP", covered_seconds: 43200 }], today), 1 / 3);
	assert.equal(coveredShare([{ step_start: start, sensor: null, region: "ZZ", covered_seconds: 43200 }], today), 0.5);
	assert.equal(coveredShare([], today), null);
});

test("the last whole day", () => {
	assert.equal(lastWhole(view("?from=2026-11-01&to=2026-11-29")), "2026-11-28");
	assert.equal(lastWhole(view("?from=2026-11-01&to=2026-11-10")), "2026-11-10");
	assert.equal(lastWhole(view("?from=2026-11-29&to=2026-11-29")), "2026-11-29");
});

test("days of the axis are those of the reporting zone, none after today", () => {
	const axis = timeAxis([], view("?from=2026-11-28&to=2026-12-05"), "day");
	assert.deepEqual(axis.keys, ["2026-11-28", "2026-11-29"]);
	assert.equal(axis.of({ step_start: "2026-11-27T15:00:00+00:00" }), "2026-11-28");
	assert.equal(axis.of({ step_start: "2026-11-28T00:00:00+09:00" }), "2026-11-28");
	assert.match(axis.texts[1], /so far/);
	assert.doesNotMatch(axis.texts[0], /so far/);
});

test("hours are of the zone that was chosen, days are not", () => {
	const row = { step_start: "2026-11-28T15:00:00Z" };
	assert.match(timeAxis([row], view("?from=2026-11-29&to=2026-11-29&tz=UTC"), "hour").texts[0], /Sat 28 Nov 2026, 15:00/);
	assert.match(timeAxis([row], view("?from=2026-11-29&to=2026-11-29"), "hour").texts[0], /Sun 29 Nov 2026, 00:00/);
	assert.equal(timeAxis([row], view("?from=2026-11-29&to=2026-11-29&tz=UTC"), "day").of(row), "2026-11-29");
});

test("links keep the view and drop what the page they lead to sets", () => {
	const one = view("?from=2026-11-01&to=2026-11-10&measure=hosts&services=23/TCP&sensor_region=AU&src_region=CN");
	assert.equal(one.link("/r/JP"), "/r/JP?from=2026-11-01&to=2026-11-10&measure=hosts&src_region=CN&services=23/TCP");
	assert.equal(one.link("/service/22-TCP"), "/service/22-TCP?from=2026-11-01&to=2026-11-10&measure=hosts&sensor_region=AU&src_region=CN");
	assert.deepEqual(view("?from=2026-11-01&to=2026-11-10&services=23/TCP", { sensor_region: ["JP"] }).with({ services: undefined }), { sensor_region: ["JP"] });
});

test("arrow keys: along a series, between series, to its ends", () => {
	const points = [0, 1].flatMap((series) => [0, 1, 2].map((index) => ({ series, index, x: index * 10, y: series * 10 })));
	assert.equal(step(points, -1, "ArrowRight", false), 0);
	assert.equal(step(points, 0, "ArrowRight", false), 1);
	assert.equal(step(points, 2, "ArrowRight", false), 2);
	assert.equal(step(points, 1, "ArrowDown", false), 4);
	assert.equal(step(points, 4, "ArrowUp", false), 1);
	assert.equal(step(points, 3, "End", false), 5);
	assert.equal(step(points, 0, "ArrowDown", true), 1);
});

test("the nearest point: of lines by step, then height; none where nobody listened", () => {
	const points = [{ x: 0, y: 5 }, { x: 0, y: 50 }, { x: 10, y: null }, { x: 20, y: 5 }];
	assert.equal(nearest(points, 1, 48, "lines"), 1);
	assert.equal(nearest(points, 19, 48, "lines"), 3);
	assert.equal(nearest([{ x: 0, y: null }, { x: 0, y: 300 }], 0, 0, "lines"), 1); // what is known comes first
	assert.equal(nearest([{ x: 5, y: 5, box: [10, 10] }], 40, 5, "matrix"), -1);
});

test("small multiples fill their rows", () => {
	assert.equal(evenColumns(8, 5), 4);
	assert.equal(evenColumns(5, 5), 5);
	assert.equal(evenColumns(7, 3), 3);
	assert.equal(evenColumns(1, 5), 1);
});

test("means by weekday are of days that were heard", () => {
	const rows = [{ weekday: "Mon", hosts: 10 }, { weekday: "Mon", hosts: null }, { weekday: "Mon", hosts: 20 }, { weekday: "Tue", hosts: 0 }];
	const of = Object.fromEntries(byWeekday(rows, "hosts").map((one) => [one.weekday, one.mean]));
	assert.deepEqual([of.Mon, of.Tue, of.Wed], [15, 0, null]);
});

test("payloads in hexadecimal and text", () => {
	assert.deepEqual(dump("\\x47455400e9ff"), [{ offset: "0000", hex: "47 45 54 00 e9 ff", text: "GET···" }]);
	assert.equal(dump(`\\x${"00".repeat(17)}`)[1].offset, "0010");
	assert.deepEqual(dump(null), []);
});

test("files wrap their lines", () => {
	const lines = wrap("one two three four five six seven eight", 60, 11);
	assert.ok(lines.length > 2);
	assert.equal(lines.join(" "), "one two three four five six seven eight");
});
