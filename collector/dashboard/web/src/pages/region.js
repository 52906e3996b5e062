// A region: what its sensors see, and what sources that are registered in it do everywhere.
import { h } from "../dom.js";
import { countDays, formatPeriod, plural } from "../format.js";
import { activity } from "../figures/calendar.js";
import { notification, ttls } from "../figures/lists.js";
import { ackOrganizations, networksRanked, servicesRanked, sourceRegionsRanked } from "../figures/rankings.js";
import { rising } from "../figures/rising.js";
import { commonServices, coverage, sensorMatrix } from "../figures/sensors.js";
import { keyNumbers } from "../figures/summary.js";
import { ackTrend, meanPackets, miraiHosts, regionTrend, serviceTrend } from "../figures/trends.js";

export const region = {
	path: /^\/r\/([A-Z]{2})$/,
	title: ([code], view) => view.regionName(code),
	filter: ([code]) => ({ sensor_region: [code] }),
	problem: ([code], ctx) => {
		const place = ctx.regions.find((r) => r.region === code);
		if (!place) return `There are no sensors in ${ctx.names.get(code) ?? code}.`;
		return place.shown ? null : `${place.name ?? code} has too few sensors to be shown by itself to you; it is in the sums of all regions.`;
	},
	build(page) {
		const [code] = page.params;
		const place = page.ctx.regions.find((r) => r.region === code);
		const single = page.ctx.sensors.some((s) => s.region === code);
		page.head((view) => view.regionName(code), (view) => [h("strong", null, plural(place.sensors, "sensor")), place.domestic ? " in the home region: " : ": ", h("strong", null, formatPeriod(view.period)),
			`, ${countDays(view.period)} of ${view.zone}.`, single ? [" ", page.ctx.sensors.filter((s) => s.region === code).flatMap((s, i) => [i > 0 ? ", " : "",
				h("a", { href: view.link(`/sensor/${s.sensor}`) }, s.public_label ?? s.name)])] : null]);
		page.section(null);
		page.figure(keyNumbers());
		page.figure(meanPackets({ span: 7, plotHeight: 420 }));
		page.figure(rising());
		page.section("What its sensors see");
		page.figure(servicesRanked({ span: 6 }));
		page.figure(sourceRegionsRanked({ span: 6 }));
		page.figure(serviceTrend());
		page.figure(regionTrend({ span: 7 }));
		page.figure(networksRanked({ span: 5 }));
		page.figure(miraiHosts({ span: 7 }));
		page.figure(activity({ span: 5 }));
		page.figure(ackTrend({ span: 7 }));
		page.figure(ackOrganizations({ span: 5 }));
		if (single) {
			page.figure(sensorMatrix({ span: 7 }));
			page.figure(commonServices({ span: 5 }));
		}
		page.figure(ttls());
		page.figure(coverage({ by: single ? "sensor" : "region" }));
		if (!place.own) return;
		// A spoofed source only claims to be of the region.
		const here = () => ({ sensor_region: undefined, src_region: [code] });
		page.section("What sources registered here do", "At all sensors of all regions; a spoofed source only claims its address.");
		page.figure(servicesRanked({ span: 6, name: "source-services", title: "Services that they try", scope: here }));
		page.figure(ackOrganizations({ span: 6, name: "source-ack-organizations", title: "Who answers from here", scope: here }));
		page.figure(ackTrend({ span: 12, name: "source-ack-packets", title: "TCP packets with ACK from here", scope: here }));
		page.figure(notification({ scope: here }));
	},
};
