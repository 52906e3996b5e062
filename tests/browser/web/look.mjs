// What stands on a page: figures with their tables, files and SQL; accessibility; pictures.
import { readFile } from "node:fs/promises";

/** Opens an address and waits until every figure has what it asked for. */
export async function open(page, path, { wait = true } = {}) {
	await page.goto(path, { waitUntil: "domcontentloaded" });
	await page.waitForSelector("h1");
	if (wait) await settled(page);
}

export async function settled(page, timeout = 60000) {
	await page.waitForFunction(() => {
		const figures = [...document.querySelectorAll("[data-figure]:not([hidden])")];
		return document.querySelector("h1") && figures.every((f) => f.dataset.state && f.dataset.state !== "loading" && !f.hasAttribute("data-stale"));
	}, null, { timeout });
}

const readFigure = (figure) => {
	const cell = (c) => ({ text: c.textContent.trim(), value: c.dataset.value ?? null });
	const tables = [...figure.querySelectorAll("table")].filter((t) => t.closest(".twin") || !figure.querySelector(".twin table")).map((t) => ({
		caption: t.querySelector("caption")?.textContent.trim() ?? "",
		head: [...t.querySelectorAll("thead th")].map((th) => th.textContent.trim()),
		rows: [...t.querySelectorAll("tbody tr")].map((tr) => [...tr.children].map(cell)),
	}));
	return {
		name: figure.dataset.figure, state: figure.dataset.state, title: figure.querySelector("h3")?.textContent.trim() ?? "",
		define: figure.querySelector(".define")?.textContent.trim() ?? "", tables,
		csv: [...figure.querySelectorAll("a[data-tool=csv]")].map((a) => a.getAttribute("href")),
		sql: figure.querySelector(".sql code")?.textContent ?? null,
		marks: figure.querySelectorAll("svg").length,
		message: figure.querySelector(".message")?.textContent.trim() ?? null,
	};
};

/** Every figure of a page, with its table twin, list of files and SQL opened as a person opens them. */
export async function figures(page, { path }) {
	await open(page, path);
	const found = [];
	for (const figure of await page.locator("[data-figure]:visible").all()) {
		for (const tool of ["table", "csv", "sql"]) {
			const button = figure.locator(`button[data-tool=${tool}]`);
			if (await button.count()) await button.first().click();
		}
		found.push(await figure.evaluate(readFigure));
	}
	return { title: await page.title(), heading: await page.locator("h1").textContent(), figures: found, url: page.url(),
		foot: await page.locator("footer").textContent() };
}

/** axe-core over the whole page. */
export async function accessible(page, { path }, { axe }) {
	await open(page, path);
	const source = await readFile(axe, "utf8");
	await page.evaluate(source);
	return page.evaluate(async () => {
		const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
		return violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => `${n.target.join(" ")} ${n.any?.[0]?.message ?? n.failureSummary}`).join(" | ")}`);
	});
}

/** A picture of the whole page; what is wider than the window. */
export async function picture(page, { path, file, media = null }) {
	if (media) await page.emulateMedia({ media });
	await open(page, path);
	// Charts draw themselves anew for another width.
	await page.waitForTimeout(300);
	await page.screenshot({ path: file, fullPage: true });
	return page.evaluate(() => {
		const room = document.documentElement.clientWidth;
		const inside = (node) => { for (let n = node.parentElement; n; n = n.parentElement) if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(n).overflowX) && n !== document.body && n !== document.documentElement) return true; return false; };
		return { overflow: document.documentElement.scrollWidth - room,
			wide: [...document.body.querySelectorAll("*")].filter((n) => n.getBoundingClientRect().right > room + 1 && !inside(n)).slice(0, 5)
				.map((n) => `${n.tagName}.${n.getAttribute("class") ?? ""} ${Math.round(n.getBoundingClientRect().right)}`) };
	});
}

/** As it is printed: the pages of paper, and what is left out. */
export async function print(page, { path, file }) {
	await open(page, path);
	await page.emulateMedia({ media: "print" });
	await page.waitForTimeout(300);
	await page.pdf({ path: file, format: "A4", printBackground: true });
	return page.evaluate(() => {
		const shown = (selector) => [...document.querySelectorAll(selector)].filter((n) => n.checkVisibility()).length;
		return { figures: shown("[data-figure]"), tools: shown("[data-tool]"), controls: [...document.querySelectorAll("main button:not(.sort), .view-bar button:not(.period *), .view-bar select, form input")].filter((n) => n.checkVisibility()).map((n) => n.outerHTML.slice(0, 120)),
			text: document.body.innerText.length, colour: getComputedStyle(document.body).backgroundColor };
	});
}
