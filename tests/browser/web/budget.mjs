// How long until the first chart, and what was loaded for it.

/** In the page, before its own scripts: when the first chart was on the screen. */
function watchFirstChart() {
	window.firstChart = new Promise((found) => {
		const observer = new MutationObserver(() => {
			if (!document.querySelector('[data-figure][data-state="ready"] svg')) return;
			observer.disconnect();
			requestAnimationFrame(() => setTimeout(() => found(performance.now()))); // painted
		});
		observer.observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-state"] });
	});
}

export async function first(page, { path, times }) {
	const took = [];
	const loaded = [];
	await page.addInitScript(watchFirstChart);
	for (let i = 0; i < times; i++) {
		await page.goto(path, { waitUntil: "commit" });
		took.push(await page.evaluate(() => window.firstChart));
		loaded.push(await page.evaluate(() => performance.getEntriesByType("resource").filter((e) => e.name.includes("/assets/")).reduce((sum, e) => sum + e.encodedBodySize, 0)
			+ performance.getEntriesByType("navigation")[0].encodedBodySize));
		// The next time begins where nothing is asked any more.
		await page.waitForSelector('[data-figure][data-state="loading"]', { state: "detached", timeout: 30000 });
	}
	return { took, loaded };
}
