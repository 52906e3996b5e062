// How long until the first chart, and what was loaded for it.
import assert from "node:assert/strict";

export async function first(page, { path, times }) {
	const took = [];
	const loaded = [];
	for (let i = 0; i < times; i++) {
		const started = Date.now();
		await page.goto(path, { waitUntil: "commit" });
		await page.waitForSelector('[data-figure][data-state="ready"] svg', { timeout: 30000 });
		took.push(await page.evaluate(() => performance.now()));
		assert.ok(Date.now() >= started);
		loaded.push(await page.evaluate(() => performance.getEntriesByType("resource").filter((e) => e.name.includes("/assets/")).reduce((sum, e) => sum + e.encodedBodySize, 0)
			+ performance.getEntriesByType("navigation")[0].encodedBodySize));
	}
	return { took, loaded };
}
