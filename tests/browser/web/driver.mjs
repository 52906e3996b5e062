// Chromium for pytest: reads a step a line from standard input, does it in a fresh context, answers with a line.
//   {"module": "look", "step": "figures", "base": "http://127.0.0.1:...", "arg": {...}, "context": {...}}
//   {"result": ...} or {"failure": "..."}, and what happened meanwhile that never should: {"problems": [...]}
// argv: folder that has node_modules, path of Chromium.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [modules, executablePath] = process.argv.slice(2);
const require = createRequire(`${modules}/package.json`);
const { chromium } = require("playwright-core");
export const axe = require.resolve("axe-core/axe.min.js");

// --no-sandbox: tests run as root.
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"] });

/** Notes requests to other hosts, what the policy refused, and errors of scripts. */
function watch(context, base, problems, expected) {
	const origin = new URL(base).origin;
	context.on("request", (request) => {
		const url = new URL(request.url());
		if (["data:", "blob:"].includes(url.protocol) || url.origin === origin) return;
		problems.push(`request to another host: ${request.url()}`);
	});
	context.on("weberror", (error) => problems.push(`script: ${error.error()?.stack ?? error.error()}`));
	context.on("console", (message) => {
		if (!["error", "warning"].includes(message.type())) return;
		const text = message.text();
		if (!expected.some((words) => text.includes(words))) problems.push(`console: ${text} ${message.location()?.url ?? ""}`);
	});
	return context.addInitScript(() => {
		document.addEventListener("securitypolicyviolation", (event) => {
			console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
		});
	});
}

async function perform({ module, step, base, arg = null, context: options = {}, expected = [], init = null }) {
	const problems = [];
	const context = await browser.newContext({ baseURL: base, viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", locale: "en-GB",
		timezoneId: "America/New_York", acceptDownloads: true, serviceWorkers: "block", ...options });
	context.setDefaultTimeout(30000);
	try {
		await watch(context, base, problems, expected);
		if (init) await context.addInitScript(init);
		const page = await context.newPage();
		const result = await (await import(`./${module}.mjs`))[step](page, arg ?? {}, { axe, base, context });
		return { result: result ?? null, problems };
	} catch (error) {
		return { failure: error.stack ?? String(error), problems };
	} finally {
		await context.close();
	}
}

for await (const line of createInterface({ input: process.stdin })) {
	const answer = await perform(JSON.parse(line));
	process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
