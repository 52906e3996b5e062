import assert from "node:assert/strict";
import { test } from "node:test";
import { destination, formatState, networkToPath, parseState, serviceFromPath, serviceName, serviceToPath } from "../src/state.js";

test("what is written is read again", () => {
	const state = { from: "2026-10-01", to: "2026-12-31", measure: "hosts", scale: "log", cmp: "year", step: "week", tz: "Asia/Tokyo",
		filter: { sensor_region: ["AU", "HK"], services: ["23/TCP", "GRE"], organization: ["Example, Inc.", "Other"], asn: [4713], ports_only: true, role: "probe", exclude: ["spoofed", "bogon"] } };
	const text = formatState(state);
	const { problems, ...read } = parseState(text);
	assert.deepEqual(problems, []);
	assert.deepEqual(read, state);
	assert.equal(formatState(read), text);
});

test("defaults are not written", () => {
	assert.equal(formatState(parseState("?measure=packets&scale=linear&cmp=none&step=auto")), "");
	assert.equal(formatState(parseState("?from=2026-01-01&to=2026-01-31&measure=hosts")), "?from=2026-01-01&to=2026-01-31&measure=hosts");
});

test("what is wrong is said and left out", () => {
	const cases = ["?measure=bytes", "?from=2026-02-30&to=2026-03-01", "?from=2026-03-02&to=2026-03-01", "?from=2026-03-02", "?tz=Mars/Olympus", "?grp=inland", "?sensor_region=JPN",
		"?exclude=noise", "?asn=x", "?sensors=1;2", "?ports_only=yes"];
	for (const search of cases) {
		const state = parseState(search);
		assert.equal(state.problems.length, 1, search);
		assert.equal(formatState(state), "", search);
	}
});

test("commas separate, but not in names", () => {
	assert.deepEqual(parseState("?services=23/tcp,22/TCP&services=GRE").filter.services, ["23/TCP", "22/TCP", "GRE"]);
	assert.deepEqual(parseState("?organization=Example,%20Inc.").filter.organization, ["Example, Inc."]);
	assert.deepEqual(parseState("?src_region=jp,ZZ").filter.src_region, ["JP", "ZZ"]);
});

test("markup stays a text", () => {
	const { filter } = parseState("?organization=%3Cscript%3Ealert(1)%3C/script%3E");
	assert.deepEqual(filter.organization, ["<script>alert(1)</script>"]);
});

test("services in paths", () => {
	for (const service of ["23/TCP", "53/UDP", "ICMP", "GRE", "ICMPv6", "TCP/frag"]) assert.equal(serviceFromPath(serviceToPath(service)), service);
	assert.equal(serviceName("0023/tcp"), "23/TCP");
	assert.equal(serviceFromPath("23-tcp"), "23/TCP");
	assert.equal(networkToPath("AS4713"), "as-4713");
	assert.equal(networkToPath("192.0.2.0/24"), "192.0.2.0-24");
});

test("where a typed text leads", () => {
	const cases = { "23/TCP": "/service/23-TCP", "23": "/service/23-TCP", "53 udp": "/service/53-UDP", gre: "/service/GRE", AS4713: "/network/as-4713", "as 4713": "/network/as-4713", jp: "/r/JP",
		"192.0.2.1": "/source/192.0.2.1", "192.0.2.0/24": "/network/192.0.2.0-24", "2001:DB8::1": "/source/2001:db8::1", "2001:db8::/32": "/network/2001:db8::-32", "2026Q3": "/quarter/2026Q3",
		"70000": null, "hello world": null, "": null };
	for (const [text, path] of Object.entries(cases)) assert.equal(destination(text), path, text);
});
