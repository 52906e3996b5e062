// What figures say while they load, when there is nothing, when it went wrong, and when it is over.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { open, settled } from "./look.mjs";

const states = (page) => page.evaluate(() => Object.fromEntries([...document.querySelectorAll("[data-figure]:not([hidden])")].map((f) => [f.dataset.figure,
	{ state: f.dataset.state, text: f.querySelector(".figure-body").textContent.trim(), busy: f.getAttribute("aria-busy") }])));

/** All figures of a page as they are once everything is answered. */
export async function all(page, { path }) {
	await open(page, path);
	return states(page);
}

/** While an answer does not come: a line with the seconds and a way out, and the rest of the page is there. */
export async function loading(page, { path, figure }) {
	await open(page, path, { wait: false });
	const one = page.locator(`[data-figure="${figure}"]`);
	await one.getByRole("button", { name: "Cancel" }).waitFor({ timeout: 15000 });
	const shown = (await states(page))[figure];
	assert.equal(shown.state, "loading");
	assert.equal(shown.busy, "true");
	assert.match(shown.text, /Counting/);
	await page.waitForFunction((name) => /\d+ s/.test(document.querySelector(`[data-figure="${name}"] .figure-body`).textContent), figure);
	return shown;
}

/** Cancel ends it, and Try again (or Count again) begins anew. */
export async function cancel(page, { path, figure }) {
	await loading(page, { path, figure });
	const one = page.locator(`[data-figure="${figure}"]`);
	await one.getByRole("button", { name: "Cancel" }).click();
	await page.waitForFunction((name) => document.querySelector(`[data-figure="${name}"]`).dataset.state !== "loading", figure);
	const after = (await states(page))[figure];
	const buttons = await one.locator(".figure-body button").allTextContents();
	return { after, buttons };
}

/** The database goes away and comes back: the page says so, and recovers by itself. */
export async function away(page, { path, seconds, flag }) {
	await open(page, path);
	const before = await states(page);
	await writeFile(flag, ""); // now
	const told = page.locator(".offline:visible");
	const poll = () => page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
	const deadline = Date.now() + seconds * 1000;
	while ((await told.count()) === 0) {
		assert.ok(Date.now() < deadline, "nobody says that the database is away");
		await poll();
		await page.waitForTimeout(300);
	}
	const words = await told.textContent();
	while ((await told.count()) > 0) {
		assert.ok(Date.now() < deadline, "it does not recover");
		await poll();
		await page.waitForTimeout(300);
	}
	await settled(page);
	return { words, before, after: await states(page) };
}

/** Nothing answers from the beginning: says what to do, and goes on by itself when it answers. */
export async function late(page, { path, seconds }) {
	await page.goto(path, { waitUntil: "domcontentloaded" });
	const message = page.locator("main .message");
	await message.waitFor({ timeout: 20000 });
	const words = await message.textContent();
	await page.waitForSelector("h1", { timeout: seconds * 1000 });
	await settled(page);
	return words;
}
