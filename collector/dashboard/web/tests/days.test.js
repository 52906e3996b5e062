import assert from "node:assert/strict";
import { test } from "node:test";
import { addDays, isDay, lengthOf, next, presets, previous, stepDays, suitableStep, weekOf, yearBefore } from "../src/days.js";

const p = (from, to) => ({ from, to });

test("days are days of the calendar", () => {
	assert.ok(isDay("2024-02-29"));
	for (const wrong of ["2023-02-29", "2024-2-9", "2024-13-01", "", null, "2024-02-29T00", "'; DROP"]) assert.ok(!isDay(wrong), String(wrong));
	assert.equal(addDays("2024-02-28", 2), "2024-03-01");
	assert.equal(addDays("2026-01-01", -1), "2025-12-31");
	assert.equal(lengthOf(p("2026-11-27", "2026-11-27")), 1);
});

test("what is before a calendar unit is the unit before, else as many days", () => {
	assert.deepEqual(previous(p("2026-03-01", "2026-03-31")), p("2026-02-01", "2026-02-28"));
	assert.deepEqual(previous(p("2026-01-01", "2026-03-31")), p("2025-10-01", "2025-12-31"));
	assert.deepEqual(previous(p("2024-01-01", "2024-12-31")), p("2023-01-01", "2023-12-31"));
	assert.deepEqual(previous(p("2026-03-02", "2026-03-31")), p("2026-01-31", "2026-03-01"));
	assert.deepEqual(previous(p("2026-11-27", "2026-11-27")), p("2026-11-26", "2026-11-26"));
	// Three months that are no quarter are 92 days.
	assert.deepEqual(previous(p("2026-02-01", "2026-04-30")), p("2025-11-04", "2026-01-31"));
});

test("after is the inverse of before", () => {
	assert.deepEqual(next(p("2026-03-01", "2026-03-31")), p("2026-04-01", "2026-04-30"));
	for (const one of [p("2026-03-01", "2026-03-31"), p("2026-04-01", "2026-06-30"), p("2026-11-01", "2026-11-10"), p("2025-01-01", "2025-12-31")]) {
		assert.deepEqual(previous(next(one)), one);
	}
});

test("a year before: the same dates, whole months stay whole", () => {
	assert.deepEqual(yearBefore(p("2026-10-30", "2026-11-28")), p("2025-10-30", "2025-11-28"));
	assert.deepEqual(yearBefore(p("2025-02-01", "2025-02-28")), p("2024-02-01", "2024-02-29"));
	assert.deepEqual(yearBefore(p("2024-02-10", "2024-02-29")), p("2023-02-10", "2023-02-28"));
});

test("presets of days end with the last whole day", () => {
	const of = Object.fromEntries(presets("2026-11-29").map(([id, , period]) => [id, period]));
	assert.deepEqual(of["30d"], p("2026-10-30", "2026-11-28"));
	assert.equal(lengthOf(of["7d"]), 7);
	assert.deepEqual(of.yesterday, p("2026-11-28", "2026-11-28"));
	assert.deepEqual(of.quarter, p("2026-10-01", "2026-11-29"));
	assert.deepEqual(of["quarter-1"], p("2026-07-01", "2026-09-30"));
	assert.deepEqual(of["month-1"], p("2026-10-01", "2026-10-31"));
	assert.deepEqual(Object.fromEntries(presets("2026-01-15").map(([id, , period]) => [id, period]))["quarter-1"], p("2025-10-01", "2025-12-31"));
});

test("steps begin with the period, then with weeks from Monday and months", () => {
	assert.equal(weekOf("2026-11-29"), "2026-11-23"); // a Sunday
	assert.deepEqual(stepDays(p("2026-11-25", "2026-12-08"), "week"), ["2026-11-25", "2026-11-30", "2026-12-07"]);
	assert.deepEqual(stepDays(p("2026-01-31", "2026-03-01"), "month"), ["2026-01-31", "2026-02-01", "2026-03-01"]);
	assert.equal(stepDays(p("2024-01-01", "2024-12-31"), "day").length, 366);
});

test("a step suits the length", () => {
	assert.equal(suitableStep(p("2026-11-27", "2026-11-27")), "hour");
	assert.equal(suitableStep(p("2026-09-01", "2026-11-29")), "day");
	assert.equal(suitableStep(p("2025-11-29", "2026-11-28")), "week");
	assert.equal(suitableStep(p("2020-01-01", "2026-11-28")), "month");
});
