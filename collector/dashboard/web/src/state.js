// What the address says: a page's path, and in its query the view (period, measure, ...) and the filter.
// Pure: from text to values and back.
import { STEPS, isDay } from "./days.js";

const CHOICES = {
	measure: ["packets", "hosts"],
	scale: ["linear", "log"],
	cmp: ["none", "previous", "year"],
	step: ["auto", ...STEPS],
};

/** Keys of the reports' filter, by kind of value. */
export const FILTER_KEYS = {
	grp: "choice", home: "code", sensor_region: "codes", sensors: "numbers", src_region: "codes", asn: "numbers",
	organization: "names", networks: "list", network_group: "names", sources: "list", services: "list",
	ports_only: "flag", traits: "list", role: "choice", exclude: "list",
};
const ONE_OF = {
	grp: ["domestic", "overseas"],
	role: ["probe", "response"],
	exclude: ["spoofed", "response", "scanner_org", "bogon"],
};

/** Names of organizations may have commas in them; what has none may be written with commas. */
const split = (key, values) => (FILTER_KEYS[key] === "names" ? values : values.flatMap((v) => v.split(",")))
	.map((v) => v.trim()).filter((v) => v !== "");

function readKey(key, values, problems) {
	const kind = FILTER_KEYS[key];
	const list = [...new Set(split(key, values))];
	if (list.length === 0) return undefined;
	const allowed = ONE_OF[key];
	const wrong = (v) => {
		problems.push(`${key}: “${v}” is not a value`);
	};
	switch (kind) {
	case "flag":
		if (list[0] === "true") return true;
		wrong(list[0]);
		return undefined;
	case "choice":
		if (allowed.includes(list[0])) return list[0];
		wrong(list[0]);
		return undefined;
	case "code":
	case "codes": {
		const codes = list.map((v) => v.toUpperCase());
		const bad = codes.find((v) => !/^[A-Z]{2}$/.test(v));
		if (bad !== undefined) { wrong(bad); return undefined; }
		return kind === "code" ? codes[0] : codes;
	}
	case "numbers": {
		const bad = list.find((v) => !/^(AS)?\d{1,10}$/i.test(v));
		if (bad !== undefined) { wrong(bad); return undefined; }
		return list.map((v) => Number(v.replace(/^AS/i, "")));
	}
	default: {
		const bad = allowed && list.find((v) => !allowed.includes(v));
		if (bad) { wrong(bad); return undefined; }
		return list;
	}
	}
}

/** Region codes, services and the like as the database writes them. */
const tidy = (key, value) => (key === "services" && Array.isArray(value) ? value.map(serviceName) : value);

/** ICMP and GRE have no port; of those that have, the protocol is in capitals: "23/tcp" is 23/TCP. */
export function serviceName(text) {
	const m = /^(\d{1,5}|tcp|udp)\/(tcp|udp|frag)$/i.exec(text);
	if (!m) return text;
	if (/^\d/.test(m[1])) return `${Number(m[1])}/${m[2].toUpperCase()}`;
	return `${m[1].toUpperCase()}/${m[2].toLowerCase()}`;
}

/**
 * @param {string} search  location.search
 * @return {{from, to, measure, scale, cmp, step, tz, filter, problems}} from and to are null where the address has none;
 *     what is wrong is left out and said in problems, never silently taken as something else.
 */
export function parseState(search) {
	const query = new URLSearchParams(search);
	const problems = [];
	const state = { from: null, to: null, measure: "packets", scale: "linear", cmp: "none", step: "auto", tz: null, filter: {}, problems };
	for (const [key, allowed] of Object.entries(CHOICES)) {
		const value = query.get(key);
		if (value === null) continue;
		if (allowed.includes(value)) state[key] = value;
		else problems.push(`${key}: “${value}” is not a value; there are: ${allowed.join(", ")}`);
	}
	const from = query.get("from");
	const to = query.get("to");
	if (from !== null || to !== null) {
		if (!isDay(from) || !isDay(to)) problems.push("period: from and to must both be days like 2026-11-27");
		else if (from > to) problems.push("period: it ends before it begins");
		else Object.assign(state, { from, to });
	}
	const tz = query.get("tz");
	if (tz !== null) {
		if (isZone(tz)) state.tz = tz;
		else problems.push(`tz: “${tz}” is not a time zone`);
	}
	for (const key of Object.keys(FILTER_KEYS)) {
		const value = tidy(key, readKey(key, query.getAll(key), problems));
		if (value !== undefined) state.filter[key] = value;
	}
	return state;
}

/** @return {string} the query, "" or with "?"; only what is not the default, always in the same order */
export function formatState(state) {
	const query = new URLSearchParams();
	if (state.from && state.to) {
		query.set("from", state.from);
		query.set("to", state.to);
	}
	for (const [key, [standard]] of Object.entries(CHOICES)) if (state[key] && state[key] !== standard) query.set(key, state[key]);
	if (state.tz) query.set("tz", state.tz);
	for (const key of Object.keys(FILTER_KEYS)) {
		const value = state.filter?.[key];
		if (value === undefined) continue;
		for (const one of [value].flat()) query.append(key, String(one));
	}
	const text = query.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
	return text === "" ? "" : `?${text}`;
}

export function isZone(name) {
	try {
		new Intl.DateTimeFormat("en", { timeZone: name });
		return true;
	} catch {
		return false;
	}
}

/** "23/TCP" <-> "23-TCP": names of services in paths. */
export const serviceToPath = (service) => service.replace("/", "-");
export const serviceFromPath = (part) => serviceName(part.replace(/-(?=(tcp|udp|frag)$)/i, "/"));

/** What a network is called in paths: AS4713 -> as-4713, 192.0.2.0/24 -> 192.0.2.0-24, a group -> group-NAME. */
export function networkToPath(network) {
	const asn = /^AS(\d+)$/i.exec(network);
	return asn ? `as-${asn[1]}` : encodeURIComponent(network.replace("/", "-"));
}

/**
 * The network that a path names.
 * @return {{label, filter}|null} its name, and the reports' filter of it
 */
export function networkFromPath(part) {
	const asn = /^as-(\d{1,10})$/i.exec(part);
	if (asn) return Number(asn[1]) < 2 ** 32 ? { label: `AS${Number(asn[1])}`, filter: { asn: [Number(asn[1])] } } : null;
	const group = /^group-(.+)$/.exec(part);
	if (group) return { label: group[1], filter: { network_group: [group[1]] } };
	const prefix = /^(.+)-(\d{1,3})$/.exec(part);
	if (!prefix || !isAddress(prefix[1]) || Number(prefix[2]) > (prefix[1].includes(":") ? 128 : 32)) return null;
	const network = `${prefix[1].toLowerCase()}/${Number(prefix[2])}`;
	return { label: network, filter: { networks: [network] } };
}

/** Whether a text can be an address; the database has the last word. */
export function isAddress(text) {
	if (text.includes(":")) return /^[0-9a-f:]{2,39}(\d{1,3}(\.\d{1,3}){3})?$/i.test(text) && !text.includes(":::");
	return /^\d{1,3}(\.\d{1,3}){3}$/.test(text) && text.split(".").every((n) => Number(n) <= 255);
}

/**
 * Where a text that a person typed leads to.
 * @return {string|null} a path
 */
export function destination(text) {
	const t = text.trim();
	const service = /^(?:port\s+)?(\d{1,5})(?:\s*[/ -]\s*(tcp|udp))?$/i.exec(t);
	if (service && Number(service[1]) <= 65535) return `/service/${Number(service[1])}-${(service[2] ?? "tcp").toUpperCase()}`;
	if (/^(icmp|gre|sctp|esp|ah)$/i.test(t)) return `/service/${t.toUpperCase()}`;
	if (/^icmpv6$/i.test(t)) return "/service/ICMPv6";
	if (/^as\s*-?\d{1,10}$/i.test(t)) return `/network/as-${t.replace(/\D/g, "")}`;
	if (/^[a-z]{2}$/i.test(t)) return `/r/${t.toUpperCase()}`;
	const group = /^group[\s:-]+(\S.*)$/i.exec(t);
	if (group) return `/network/group-${encodeURIComponent(group[1])}`;
	if (/^\d{4}\s*q[1-4]$/i.test(t)) return `/quarter/${t.replace(/\s/g, "").toUpperCase()}`;
	const address = /^([0-9.]{7,15}|[0-9a-f:.]*:[0-9a-f:.]*)(?:\/(\d{1,3}))?$/i.exec(t);
	if (!address) return null;
	if (address[2] === undefined) return `/source/${address[1].toLowerCase()}`;
	return `/network/${address[1].toLowerCase()}-${address[2]}`;
}
