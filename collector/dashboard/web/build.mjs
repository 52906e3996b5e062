// Bundles the dashboard's page: node build.mjs OUTPUT. Writes index.html, app-HASH.js and app-HASH.css there, and nothing else.
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
for (const name of readdirSync(out)) if (/^(app-[A-Z0-9]+\.(js|css)|index\.html)$/.test(name)) rmSync(join(out, name));

const result = await build({
	absWorkingDir: here,
	entryPoints: [{ in: "src/app.js", out: "app" }, { in: "css/app.css", out: "app" }],
	entryNames: "[name]-[hash]",
	bundle: true, minify: true, format: "esm", target: ["chrome109", "firefox115", "safari16"], charset: "utf8", legalComments: "none",
	outdir: out, metafile: true, logLevel: "warning",
});
const names = Object.keys(result.metafile.outputs).map((path) => basename(path));
const page = readFileSync(join(here, "index.html"), "utf8")
	.replace("app.js", names.find((n) => n.endsWith(".js"))).replace("app.css", names.find((n) => n.endsWith(".css")));
writeFileSync(join(out, "index.html"), page);
