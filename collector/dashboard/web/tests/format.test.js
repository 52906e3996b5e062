import assert from "node:assert/strict";
import { test } from "node:test";
import { change, formatPeriod, inZone, number, percent, rankChange, short } from "../src/format.js";

test("what is not known is no number", () => {
	for (const f of [number, short, percent]) for (const x of [null, undefined, NaN]) assert.equal(f(x), "–");
	assert.equal(number(0), "0");
	assert.equal(short(0), "0");
});

test("counts in full, means with the digits they are worth", () => {
	assert.equal(number(1234567), "1,234,567");
	assert.equal(number(12.345), "12.3");
	assert.equal(number(0.01234), "0.012");
	assert.equal(number(1234.5), "1,235");
});

test("short numbers", () => {
	const cases = [[999, "999"], [1000, "1k"], [1234, "1.2k"], [12345, "12k"], [999950, "1M"], [3.4e9, "3.4G"], [2.5, "2.5"], [10, "10"], [-1500, "-1.5k"], [0.25, "0.25"]];
	for (const [x, text] of cases) assert.equal(short(x), text, String(x));
});

test("shares and changes", () => {
	assert.equal(percent(0.1234), "12.3 %");
	assert.equal(percent(0.0001), "<0.1 %");
	assert.equal(percent(0), "0.0 %");
	assert.equal(change(110, 100), "+10.0 %");
	assert.equal(change(90, 100), "−10.0 %");
	assert.equal(change(100, 100), "0.0 %");
	assert.equal(change(5000, 100), "+4,900 %");
	assert.equal(change(5, 0), "–");
	assert.equal(change(null, 5), "–");
});

test("ranks: up, down, the same, not seen, no data", () => {
	assert.deepEqual(rankChange(2, 5, true), { text: "was 5", kind: "up", by: 3 });
	assert.deepEqual(rankChange(5, 2, true), { text: "was 2", kind: "down", by: 3 });
	assert.equal(rankChange(2, 2, true).kind, "same");
	assert.equal(rankChange(2, null, true).kind, "new");
	assert.equal(rankChange(2, null, false).kind, "unknown");
});

test("periods by their names", () => {
	assert.equal(formatPeriod({ from: "2026-07-01", to: "2026-09-30" }), "Q3 2026");
	assert.equal(formatPeriod({ from: "2026-07-01", to: "2026-07-31" }), "Jul 2026");
	assert.equal(formatPeriod({ from: "2026-01-01", to: "2026-12-31" }), "2026");
	assert.equal(formatPeriod({ from: "2026-11-01", to: "2026-11-27" }), "1–27 Nov 2026");
	assert.equal(formatPeriod({ from: "2026-10-30", to: "2026-11-28" }), "30 Oct – 28 Nov 2026");
	assert.equal(formatPeriod({ from: "2026-11-27", to: "2026-11-27" }), "Fri 27 Nov 2026");
});

test("an instant in a zone", () => {
	const at = new Date("2026-11-28T15:30:05Z");
	assert.deepEqual(inZone(at, "Asia/Tokyo"), { day: "2026-11-29", time: "00:30", seconds: "00:30:05" });
	assert.equal(inZone(at, "Asia/Colombo").time, "21:00");
});
