import assert from "node:assert/strict";
import { test } from "node:test";
import { alone, gaps, pivot, silence, spread } from "../src/chart/series.js";
import { compare } from "../src/table.js";

test("gaps are runs without a value; 0 is a value", () => {
	assert.deepEqual(gaps([1, null, undefined, 0, NaN]), [[1, 2], [4, 4]]);
	assert.deepEqual(gaps([0, 0]), []);
	assert.deepEqual(gaps([]), []);
});

test("points that no line reaches", () => {
	assert.deepEqual(alone([1, null, 0, null, 2, 3]), [0, 2]);
});

test("nobody listened where no series has a value", () => {
	assert.deepEqual(silence([[1, null, null], [null, null, 0]]), [[1, 1]]);
	assert.deepEqual(silence([]), []);
});

test("rows become series over one axis; what has no row is null, never 0", () => {
	const rows = [{ day: "a", s: "x", v: 1 }, { day: "c", s: "x", v: "3" }, { day: "b", s: "y", v: 0 }, { day: "c", s: "y", v: null }, { day: "z", s: "y", v: 9 }];
	const out = pivot(rows, ["a", "b", "c"], { step: (r) => r.day, series: (r) => r.s, value: (r) => r.v });
	assert.deepEqual([...out], [["x", [1, null, 3]], ["y", [null, 0, null]]]);
});

test("labels move apart as little as possible, and stay inside", () => {
	const places = spread([10, 12, 11, 90], 10, 0, 100);
	const sorted = [...places].sort((a, b) => a - b);
	for (let i = 1; i < sorted.length; i++) assert.ok(sorted[i] - sorted[i - 1] >= 10 - 1e-9);
	assert.deepEqual([...places.keys()].sort((a, b) => places[a] - places[b]), [0, 2, 1, 3]);
	assert.equal(places[3], 90);
	for (const y of spread([99, 100, 100], 10, 0, 100)) assert.ok(y <= 100 && y >= 0);
});

test("what is not known is least", () => {
	assert.deepEqual([3, null, 1, undefined, 2].sort(compare).slice(0, 4), [null, 1, 2, 3]);
	assert.ok(compare("9/TCP", "10/TCP") < 0);
});
