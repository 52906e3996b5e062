// Ranked bars: services, source regions, networks; with the rank before and how it moved.
import { bars } from "../chart/bars.js";
import { number, percent, rankChange } from "../format.js";
import { networkToPath, serviceToPath } from "../state.js";

/** What is compared with: rows of another period, by key. */
const valuesOf = (rows, key, measure) => new Map((rows ?? []).map((row) => [row[key], row[measure]]));

export function ranking({ name, title, define, fn, key, label, sub, href, extra = {}, n = 10, span = 6, scope = () => ({}), more = [] }) {
	return {
		name, title, define, span, height: 330,
		calls: (view) => ({
			now: { fn, period: view.period, filter: view.with(scope(view)), n, rank_by: view.measure, ...extra },
			before: view.before && { fn, period: view.before, filter: view.with(scope(view)), n: 1000, rank_by: view.measure, ...extra },
		}),
		empty: ({ now }) => (now.length === 0 ? "Nothing came in this period." : null),
		chart({ now, before }, view, width) {
			const then = valuesOf(before, key, view.measure);
			const all = before ? new Map([...then]) : null;
			return bars({
				width, scale: view.scale, unit: view.measure === "hosts" ? "hosts" : "packets", beforeName: view.beforeName,
				rows: now.map((row) => ({
					key: row[key], rank: row.rank, label: label(row, view), sub: sub?.(row, view), value: row[view.measure], text: number(row[view.measure]), share: percent(row.share),
					before: all ? all.get(row[key]) ?? null : null, beforeText: all ? number(all.get(row[key])) : null, href: href?.(row, view),
					change: "previous_covered" in row ? rankChange(row.rank, row.previous_rank, row.previous_covered) : null,
				})),
			});
		},
		table: ({ now, before }, view) => {
			const then = valuesOf(before, key, view.measure);
			return {
				rows: now,
				columns: [
					{ key: "rank", label: "Rank", kind: "number" },
					{ key, label: title, cell: (row) => label(row, view) }, ...more,
					{ key: "packets", label: "Packets", kind: "number" }, { key: "hosts", label: "Hosts", kind: "number" }, { key: "share", label: "Share", kind: "share" },
					...(now.length > 0 && "previous_rank" in now[0] ? [{ key: "previous_rank", label: "Rank before", kind: "number",
						cell: (row) => rankChange(row.rank, row.previous_rank, row.previous_covered).text.replace("was ", "") }] : []),
					...(before ? [{ key: "compared", label: `${view.measure === "hosts" ? "Hosts" : "Packets"}, ${view.beforeName}`, kind: "number", of: (row) => then.get(row[key]) ?? null }] : []),
				],
			};
		},
	};
}

export const serviceWords = (row) => row.common_name ?? row.name ?? "";

const BEFORE = "The rank before is that of the calendar unit before, else of as many days before.";

export const servicesRanked = (more = {}) => ranking({
	name: "top-services", title: "Services", fn: "top_services", key: "service", label: (row) => row.service, sub: serviceWords,
	define: (view) => `By ${view.measure}; the share is of all ${view.measure} under the same filter. ${BEFORE}`,
	href: (row, view) => view.link(`/service/${serviceToPath(row.service)}`), more: [{ key: "name", label: "Name", of: serviceWords }], ...more,
});

export const sourceRegionsRanked = (more = {}) => ranking({
	name: "top-source-regions", title: "Source regions", fn: "top_source_regions", key: "region", label: (row) => row.name ?? row.region, sub: (row) => (row.name ? row.region : ""),
	define: (view) => `Where sources are registered, by ${view.measure}; a spoofed source only claims its region. ${BEFORE}`,
	more: [{ key: "code", label: "Code", of: (row) => row.region }], ...more,
});

const NETWORKS = { asn: ["Networks by AS", "AS"], organization: ["Networks by organization", "Organization"], prefix: ["Networks by prefix", "Prefix"] };

/** Whether the viewer may be told who answers (and so is attacked): of its own regions alone. */
function toldOfVictims(view) {
	const { everything, regions } = view.ctx.viewer;
	const within = (list) => list !== undefined && list.every((code) => regions.includes(code));
	return everything || within(view.filter.sensor_region) || within(view.filter.src_region) || view.filter.sensors !== undefined;
}

const probes = (view) => (toldOfVictims(view) || view.filter.role ? {} : { role: "probe" });

export const networksRanked = ({ by = "asn", ...more } = {}) => ranking({
	scope: probes,
	name: `top-networks-${by}`, title: NETWORKS[by][0], fn: "top_networks", key: "network", label: (row) => row.network, sub: (row) => (row.name && row.name !== row.network ? row.name : ""),
	define: (view) => `Networks that sources are in, by ${view.measure}; the share is of all under the same filter.${probes(view).role ? " Probes only: who answers is a victim, and told to its own region." : ""}`, extra: { by },
	href: (row, view) => (/^(AS\d+|[0-9a-f.:]+\/\d+)$/.test(row.network) ? view.link(`/network/${networkToPath(row.network)}`) : undefined),
	more: [{ key: "name", label: "Name", of: (row) => row.name }], ...more,
});

const KINDS = ["ack", "synack", "rstack"];
const KIND_NAMES = { ack: "ACK alone", synack: "SYN-ACK", rstack: "RST-ACK" };

/** R6: one bar for an organization; its kinds are in the tip and the table. */
export const ackOrganizations = ({ scope = () => ({}), ...more } = {}) => ({
	name: "ack-organizations", title: "Who answers", span: 5, height: 330,
	define: "Organizations whose addresses sent TCP packets with ACK: whoever was attacked with our addresses as forged sources answers so. Share of all packets with ACK.",
	calls: (view) => ({ now: { fn: "ack_organizations", period: view.period, filter: view.with(scope(view)), n: 10 } }),
	empty: ({ now }) => (now.length === 0 ? "No packets with ACK in this period." : null),
	chart({ now }, view, width) {
		const rows = [...new Map(now.map((row) => [row.organization, row])).values()];
		const kinds = (name) => KINDS.map((kind) => now.find((row) => row.organization === name && row.kind === kind)).filter(Boolean)
			.map((row) => `${KIND_NAMES[row.kind]} ${percent(row.share)}`).join(", ");
		const column = view.measure === "hosts" ? "organization_hosts" : "organization_packets";
		return bars({ width, scale: view.scale, unit: view.measure, rows: rows.map((row) => ({ key: row.organization, rank: row.rank, label: row.organization, value: row[column],
			text: number(row[column]), share: view.measure === "hosts" ? null : percent(row.organization_share), tip: kinds(row.organization),
			href: /^AS\d+$/.test(row.organization) ? view.link(`/network/${networkToPath(row.organization)}`) : undefined })) });
	},
	table: ({ now }) => ({ rows: now, columns: [{ key: "rank", label: "Rank", kind: "number" }, { key: "organization", label: "Organization" },
		{ key: "kind", label: "Kind", cell: (row) => KIND_NAMES[row.kind] ?? row.kind }, { key: "packets", label: "Packets", kind: "number" }, { key: "hosts", label: "Hosts", kind: "number" },
		{ key: "share", label: "Share", kind: "share" }, { key: "organization_packets", label: "Packets, all kinds", kind: "number" },
		{ key: "organization_share", label: "Share, all kinds", kind: "share" }] }),
	...more,
});
