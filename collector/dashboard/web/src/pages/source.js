// One address: what it did where, whether it is what it claims, and why.
import { h } from "../dom.js";
import { countDays, formatPeriod } from "../format.js";
import { notification, payloads } from "../figures/lists.js";
import { facts, hopsByRegion, services, sightings, verdictByDay } from "../figures/source.js";
import { scoped } from "../figures/scoped.js";
import { isAddress } from "../state.js";

/** Of a viewer of regions: packets of its own sensors, notices about sources of its regions. */
const at = (key) => (view) => (view.ctx.viewer.everything ? view : view.vary({}, { [key]: view.ctx.viewer.regions }));

export const source = {
	path: /^\/source\/([0-9a-fA-F.:]{2,45})$/,
	title: ([address]) => address,
	filter: ([address]) => ({ sources: [address.toLowerCase()] }),
	controls: { measure: false, cmp: false, step: false, filter: false },
	problem: ([address]) => (isAddress(address) ? null : `${address} is not an address.`),
	build(page) {
		const [address] = page.params;
		page.head(address.toLowerCase(), (view) => ["What this address did, from its packets to our sensors: ", h("strong", null, formatPeriod(view.period)), `, ${countDays(view.period)} of ${view.zone}.`]);
		page.section(null);
		page.figure(facts());
		page.figure(services());
		page.figure(sightings());
		page.section("Is it real?", "Hops that its packets took to each region, against those of the network that it claims.");
		page.figure(hopsByRegion());
		page.figure(verdictByDay());
		page.section("What it sent");
		page.figure(scoped(payloads(), at("sensor_region")));
		page.figure(scoped(notification({ n: 1 }), at("src_region"), { title: "A notice about it",
			define: "What report.notification would tell about it. Responses, spoofed senders and research scanners are left out: then there is nobody to write to." }));
	},
};
