// What a person does: goes from page to page, back and forward, by keyboard alone, saves files, shares an address.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { open, settled } from "./look.mjs";

const query = (page) => new URL(page.url()).searchParams;
const heading = (page) => page.locator("h1").textContent();

/** Links at the top and in the page; back and forward bring back page, choice and place. */
export async function navigation(page, { path, region }) {
	await open(page, path);
	const first = await heading(page);
	const whole = query(page);
	assert.ok(whole.get("from") && whole.get("to"), "the address tells the period");
	await page.evaluate(() => scrollTo(0, 500));
	await page.locator(`nav[aria-label=Regions] a[href^="/r/${region}"]`).click();
	await page.waitForFunction((before) => document.querySelector("h1")?.textContent !== before, first);
	await settled(page);
	assert.equal(new URL(page.url()).pathname, `/r/${region}`);
	assert.equal(query(page).get("from"), whole.get("from"), "the period comes along");
	assert.equal(await page.evaluate(() => document.activeElement?.id), "main", "a screen reader begins with the new page");
	const second = await heading(page);
	await page.goBack();
	await settled(page);
	assert.equal(await heading(page), first);
	assert.equal(new URL(page.url()).pathname, "/");
	await page.goForward();
	await settled(page);
	assert.equal(await heading(page), second);
	await page.locator("a.brand").click();
	await settled(page);
	assert.equal(await heading(page), first);
	return { loads: await page.evaluate(() => performance.getEntriesByType("navigation").length) };
}

/** Each choice is in the address, and the address alone brings it back in another window. */
export async function address(page, { path }, { context }) {
	await open(page, path);
	await page.locator("fieldset.choice label", { hasText: "Hosts" }).click();
	await page.locator("fieldset.choice label", { hasText: "Log" }).click();
	await page.getByLabel("Compare with").selectOption("year");
	await page.getByRole("combobox", { name: /^Step/ }).selectOption("week");
	await settled(page);
	const shared = page.url();
	const seen = Object.fromEntries(query(page));
	assert.deepEqual({ measure: seen.measure, scale: seen.scale, cmp: seen.cmp, step: seen.step }, { measure: "hosts", scale: "log", cmp: "year", step: "week" });
	const other = await context.newPage();
	await open(other, shared);
	assert.equal(other.url(), shared, "the same address");
	const state = (p) => p.evaluate(() => [...document.querySelectorAll(".view-bar input, .view-bar select")].map((n) => (n.type === "radio" ? n.checked : n.value)));
	assert.deepEqual(await state(other), await state(page));
	const text = (p) => p.evaluate(() => [...document.querySelectorAll("[data-figure] .define")].map((n) => n.textContent));
	assert.deepEqual(await text(other), await text(page));
	return seen;
}

/** What is wrong in an address is said, never taken as something else. */
export async function wrongAddress(page, { path, words }) {
	await open(page, path);
	const told = await page.locator(".problems").textContent();
	for (const word of words) assert.ok(told.includes(word), `"${word}" is not in "${told}"`);
	assert.equal(await page.evaluate(() => globalThis.hacked ?? null), null);
	return told;
}

/** Text of an address is text: no markup, no script. */
export async function injection(page, { paths }) {
	for (const path of paths) {
		await page.goto(path, { waitUntil: "networkidle" }); // what is no page at all is the server's to refuse
		assert.equal(await page.evaluate(() => globalThis.hacked ?? null), null, path);
		assert.equal(await page.locator("main img, main script, main iframe").count(), 0, path);
	}
}

/** Another period by the popup, the steps before and after, and a period of one's own. */
export async function period(page, { path, from, to }) {
	await open(page, path);
	const before = [query(page).get("from"), query(page).get("to")];
	await page.getByRole("button", { name: "Period before" }).click();
	await settled(page);
	assert.ok(query(page).get("to") < before[0], "the period before");
	await page.getByRole("button", { name: "Period after" }).click();
	await settled(page);
	assert.deepEqual([query(page).get("from"), query(page).get("to")], before);
	await page.getByRole("button", { name: /^Period:/ }).click();
	await page.locator(".periods input[name=from]").fill(from);
	await page.locator(".periods input[name=to]").fill(to);
	await page.getByRole("button", { name: "Show" }).click();
	await settled(page);
	assert.deepEqual([query(page).get("from"), query(page).get("to")], [from, to]);
	await page.goBack();
	await settled(page);
	assert.deepEqual([query(page).get("from"), query(page).get("to")], before);
	await page.getByRole("button", { name: /^Period:/ }).click();
	await page.locator(".periods input[name=from]").fill(to);
	await page.locator(".periods input[name=to]").fill(from);
	await page.getByRole("button", { name: "Show" }).click();
	assert.ok(await page.locator(".custom [role=alert]").isVisible(), "a period that ends before it begins is refused");
}

/** Where the box leads to. */
export async function search(page, { path, goals }) {
	await open(page, path);
	for (const [text, want] of Object.entries(goals)) {
		await page.getByRole("searchbox").fill(text);
		await page.getByRole("searchbox").press("Enter");
		await page.waitForFunction((p) => location.pathname === p, want, { timeout: 5000 });
	}
	await settled(page);
	await page.getByRole("searchbox").fill("???");
	await page.getByRole("searchbox").press("Enter");
	assert.ok(await page.locator("form.go [role=alert]").isVisible(), "what leads nowhere is said");
}

/** By keyboard alone: past the top, into a chart, through its points, its table, another page. */
export async function keyboard(page, { path }) {
	await open(page, path);
	await page.keyboard.press("Tab");
	assert.equal(await page.evaluate(() => document.activeElement.className), "skip", "the first stop leads past the top");
	await page.keyboard.press("Enter");
	assert.equal(await page.evaluate(() => document.activeElement.id), "main");
	const stops = [];
	for (let i = 0; i < 150; i++) {
		await page.keyboard.press("Tab");
		const stop = await page.evaluate(() => {
			const n = document.activeElement;
			const style = getComputedStyle(n);
			return { name: n.getAttribute("aria-label") ?? n.textContent.trim().slice(0, 40), role: n.getAttribute("role") ?? n.tagName,
				marked: style.outlineStyle !== "none" || style.boxShadow !== "none" };
		});
		assert.ok(stop.marked, `where the focus is can not be seen: ${JSON.stringify(stop)}`);
		stops.push(stop);
		if (stop.role === "application") break;
	}
	assert.equal(stops.at(-1).role, "application", "a chart can be reached by Tab");
	const tip = page.locator(".tip:visible");
	const live = page.locator("[aria-live=polite]");
	const said = new Set();
	for (const key of ["ArrowRight", "ArrowRight", "End", "ArrowDown", "Home"]) {
		await page.keyboard.press(key);
		assert.equal(await tip.count(), 1, `${key} shows a value`);
		said.add((await live.allTextContents()).join(""));
	}
	/* What a source tried may be one bar. */
	assert.ok(said.size >= (new URL(page.url()).pathname.startsWith("/source/") ? 1 : 3), `what is pointed at is spoken: ${[...said].join(" | ")}`);
	await page.keyboard.press("Escape");
	assert.equal(await tip.count(), 0);
	const figure = page.locator("[data-figure]", { has: page.locator("button[data-tool=table]") }).first();
	await figure.locator("button[data-tool=table]").focus();
	await page.keyboard.press("Enter");
	assert.ok(await figure.locator(".twin table").isVisible());
	assert.equal(await figure.locator("button[data-tool=table]").getAttribute("aria-expanded"), "true");
	const period = page.getByRole("button", { name: /^Period:/ });
	assert.equal(await period.count(), new URL(page.url()).pathname.startsWith("/quarter/") ? 0 : 1, "a quarter is its period");
	if (await period.count() === 1) {
		await period.focus();
		await page.keyboard.press("Enter");
		assert.ok(await page.locator(".popup.periods").isVisible());
		await page.keyboard.press("Escape");
		assert.ok(!(await page.locator(".popup.periods").isVisible()));
		assert.ok(await period.evaluate((n) => n === document.activeElement), "the focus comes back");
	}
	return stops.length;
}

/** What a click saves. Chromium drops one of many downloads now and then: a click that came is made once more, one that
 *  did not come is ours. */
async function download(page, button) {
	const clicks = () => page.evaluate(() => globalThis.clicks ??= (addEventListener("click", () => globalThis.clicks++, true), 0));
	for (let times = 1; ; times++) {
		const before = await clicks();
		const [file] = await Promise.all([page.waitForEvent("download", { timeout: 15000 }).catch(() => null), button.click()]);
		if (file) return file;
		assert.ok(await clicks() > before, "the click did not come");
		assert.ok(times < 3, "nothing is saved");
	}
}

/** Files: the CSV as the browser saves it, the chart as SVG that stands alone, the SQL. */
export async function files(page, { path }) {
	await open(page, path);
	const saved = [];
	for (const figure of await page.locator("[data-figure]:visible").all()) {
		const name = await figure.getAttribute("data-figure");
		const toggle = figure.locator("button[data-tool=csv]");
		if (await toggle.count()) await toggle.click();
		const link = figure.locator("a[data-tool=csv]").first();
		const csv = await download(page, link);
		const entry = { name, csv: csv.suggestedFilename(), text: await readFile(await csv.path(), "utf8"), href: await link.getAttribute("href") };
		const svg = figure.locator("button[data-tool=svg]");
		if (await svg.count()) {
			const file = await download(page, svg);
			entry.svg = file.suggestedFilename();
			entry.drawing = await readFile(await file.path(), "utf8");
		}
		saved.push(entry);
	}
	return saved;
}

/** A file by itself, in an empty page: is it drawn, and with its own colours? */
export async function drawn(page, { drawing }) {
	await page.setContent(drawing);
	return page.evaluate(() => {
		const svg = document.querySelector("svg");
		const box = svg.getBoundingClientRect();
		const paths = [...svg.querySelectorAll("path, rect, line, circle")];
		const strokes = new Set(paths.map((p) => getComputedStyle(p).stroke).concat(paths.map((p) => getComputedStyle(p).fill)));
		return { width: box.width, height: box.height, marks: paths.length, colours: [...strokes], text: svg.textContent.length,
			variables: svg.outerHTML.includes("var(--"), links: svg.querySelectorAll("image, use, script, foreignObject").length };
	});
}

/** What came in shows by itself: no reload, and whoever reads on is not moved. */
export async function live(page, { path, figure, key, column, flag }) {
	await open(page, path);
	const shown = page.locator(`[data-figure="${figure}"]`);
	const button = shown.locator("button[data-tool=table]");
	if (await button.count()) await button.click();
	await page.evaluate(() => { globalThis.marked = true; scrollTo(0, 300); });
	const link = await shown.locator("a[data-tool=csv]").elementHandle();
	const values = () => shown.locator("tbody tr").evaluateAll((rows, [k, i]) => Object.fromEntries(rows.map((row) => [row.children[k].dataset.value, Number(row.children[i].dataset.value)])), [key, column]);
	const before = { values: await values(), asOf: await page.locator(".as-of").textContent(), scroll: await page.evaluate(() => scrollY) };
	await writeFile(flag, ""); // now
	// It asks every half minute, and when it comes into sight again: so it need not be waited for.
	const deadline = Date.now() + 30000;
	let after = before.values;
	while (JSON.stringify(after) === JSON.stringify(before.values)) {
		assert.ok(Date.now() < deadline, "nothing new is shown");
		await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
		await page.waitForTimeout(500);
		await settled(page);
		after = await values();
	}
	assert.equal(await page.evaluate(() => globalThis.marked), true, "the page was not loaded again");
	assert.equal(await page.evaluate(() => scrollY), before.scroll, "nobody is moved");
	assert.notEqual(await page.locator(".as-of").textContent(), before.asOf);
	assert.ok(await link.evaluate((n) => n.isConnected), "a link that is being clicked stays");
	return { before: before.values, after };
}
