// Bundles the dashboard's page: node build.mjs OUTPUT. Writes index.html, app-HASH.js, plot-HASH.js and app-HASH.css there, and nothing else.
import { build } from "esbuild";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2];
if (!out) {
	console.error("usage: node build.mjs OUTPUT");
	process.exit(64);
}
mkdirSync(out, { recursive: true });
for (const name of readdirSync(out)) if (/^((app|plot)-[A-Z0-9]+\.(js|css)|index\.html)$/.test(name)) rmSync(join(out, name));

const result = await build({
	absWorkingDir: here,
	entryPoints: [{ in: "src/app.js", out: "app" }, { in: "css/app.css", out: "app" }],
	entryNames: "[name]-[hash]", chunkNames: "plot-[hash]", splitting: true,
	bundle: true, minify: true, format: "esm", target: ["chrome109", "firefox115", "safari16"], charset: "utf8", legalComments: "none",
	outdir: out, metafile: true, logLevel: "warning",
});
const names = Object.keys(result.metafile.outputs).map((path) => basename(path));
let page = readFileSync(join(here, "index.html"), "utf8");
for (const plain of ["app.js", "app.css", "plot.js"]) {
	const [stem, type] = plain.split(".");
	const found = names.filter((n) => n.startsWith(`${stem}-`) && n.endsWith(`.${type}`));
	if (found.length !== 1) throw new Error(`${plain}: ${found.length} files of ${names.join(", ")}`);
	page = page.replace(plain, found[0]);
}
writeFileSync(join(out, "index.html"), page);
