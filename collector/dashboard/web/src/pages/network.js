// A network: an AS, a prefix, or a group of prefixes that was imported under a name.
import { h } from "../dom.js";
import { countDays, formatPeriod } from "../format.js";
import { activity } from "../figures/calendar.js";
import { notification, ttls } from "../figures/lists.js";
import { ackOrganizations, networksRanked, servicesRanked, sourceRegionsRanked } from "../figures/rankings.js";
import { ackTrend, hostsPerDay, meanPackets, miraiHosts, serviceTrend } from "../figures/trends.js";
import { scoped } from "../figures/scoped.js";
import { ttlMatrix, verdictList, verdictShare } from "../figures/verdicts.js";
import { networkFromPath } from "../state.js";

/** Whether a viewer of regions has chosen a part of the network that it may be shown. */
const narrowed = (view) => view.ctx.viewer.everything || Boolean(view.filter.src_region || view.filter.sensor_region || view.filter.sensors || (view.filter.asn && view.filter.role === "probe"));

/** What a viewer of regions may see of a network, and the ways there. */
function choices(view) {
	const { regions } = view.ctx.viewer;
	const names = regions.map(view.regionName).join(", ");
	const way = (text, filter) => h("li", null, h("a", { href: view.link(view.path, { filter }) }, text));
	return h("div", { class: "message denied", "data-denied": "network" }, h("p", { class: "message-head" }, "Choose which part of this network you look at"),
		h("p", null, `To viewers of ${names}, single networks are shown where they are registered in their regions, or as far as their own sensors saw them; all of them together would tell about others’ sensors and victims.`),
		h("ul", { class: "ways" }, way(`Its sources that are registered in ${names}, at all sensors`, { src_region: regions, sensor_region: undefined }),
			way(`All its sources, at your sensors in ${names}`, { sensor_region: regions, src_region: undefined }),
			view.filter.asn ? way("Its probes (no answers), in sums over all sensors", { role: "probe" }) : null));
}

export const network = {
	path: /^\/network\/([^/]{2,200})$/,
	title: ([part]) => networkFromPath(part)?.label ?? part,
	filter: ([part]) => networkFromPath(part)?.filter ?? {},
	problem: ([part]) => (networkFromPath(part) ? null : `${part} is no network. Write as-4713, 192.0.2.0-24, or group- and the name of a group.`),
	build(page) {
		const { label, filter } = networkFromPath(page.params[0]);
		const kind = filter.asn ? "Autonomous system" : filter.networks ? "Network" : "Group of networks";
		page.head(filter.network_group ? `Group ${label}` : label, (view) => [`${kind}: what its addresses sent, `, h("strong", null, formatPeriod(view.period)), `, ${countDays(view.period)} of ${view.zone}. A spoofed source only claims to be in it.`]);
		page.section(null);
		const place = h("div", { class: "whole" });
		page.add(place);
		page.onView((view) => {
			place.replaceChildren(...(narrowed(view) ? [] : [choices(view)]));
			place.hidden = narrowed(view);
		});
		const section = (...words) => {
			const grid = page.section(...words);
			page.onView((view) => { grid.hidden = !narrowed(view); });
		};
		const figure = (spec) => page.figure({ ...spec, hidden: (view) => !narrowed(view) || (spec.hidden?.(view) ?? false) });
		figure(hostsPerDay({ span: 12, ...(filter.network_group && { title: "Hosts a day, network by network", define: "Distinct sources of a reporting day in each network of the group, over all sensors; they never add up." }) }));
		figure(activity({ span: 6 }));
		figure(meanPackets({ span: 6 }));
		section("What comes from it");
		figure(servicesRanked({ span: 6 }));
		figure(networksRanked({ span: 6, by: "prefix" }));
		figure(serviceTrend());
		figure(miraiHosts({ span: 7 }));
		figure(sourceRegionsRanked({ span: 5, title: "Where its sources are registered" }));
		section("Who answers", "Hosts here that were attacked with our addresses as forged sources answer to us.");
		figure(ackTrend({ span: 7 }));
		figure(ackOrganizations({ span: 5 }));
		section("Is it real?", "One network’s packets arrive in a region within few TTLs.");
		figure(ttlMatrix({ span: 6 }));
		figure(ttls({ span: 6 }));
		figure(verdictShare({ span: 6 }));
		figure(networksRanked({ span: 6, by: "organization" }));
		figure(verdictList({ n: 25 }));
		section("Whom to write to");
		// Single sources: those of the viewer's regions.
		page.figure({ ...scoped(notification(), (view) => (view.ctx.viewer.everything || view.filter.src_region || view.filter.sensor_region ? view : view.vary({}, { src_region: view.ctx.viewer.regions }))), hidden: (view) => !narrowed(view) });
	},
};
