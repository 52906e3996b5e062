// One sensor, for those who are shown it.
import { h } from "../dom.js";
import { countDays, formatPeriod } from "../format.js";
import { activity } from "../figures/calendar.js";
import { payloads, ttls } from "../figures/lists.js";
import { networksRanked, servicesRanked, sourceRegionsRanked } from "../figures/rankings.js";
import { rising } from "../figures/rising.js";
import { coverage } from "../figures/sensors.js";
import { keyNumbers } from "../figures/summary.js";
import { ackTrend, hostsPerDay, meanPackets, regionTrend, serviceTrend } from "../figures/trends.js";

const find = ([id], ctx) => ctx.sensors.find((s) => String(s.sensor) === id);
const nameOf = (sensor) => sensor?.public_label ?? sensor?.name ?? "Sensor";

export const sensor = {
	path: /^\/sensor\/(\d{1,9})$/,
	title: (params, view) => nameOf(find(params, view.ctx)),
	filter: ([id]) => ({ sensors: [Number(id)] }),
	problem: (params, ctx) => (find(params, ctx) ? null : "There is no such sensor among those that you are shown one by one."),
	build(page) {
		const one = find(page.params, page.ctx);
		page.head(nameOf(one), (view) => ["Sensor", one.name && one.name !== nameOf(one) ? [" ", h("strong", null, one.name)] : null, " in ",
			h("a", { href: view.link(`/r/${one.region}`) }, view.regionName(one.region)), one.domestic ? ", the home region: " : ": ", h("strong", null, formatPeriod(view.period)),
			`, ${countDays(view.period)} of ${view.zone}.`]);
		page.section(null);
		page.figure(keyNumbers());
		page.figure(meanPackets({ span: 7, plotHeight: 420 }));
		page.figure(rising());
		page.section("What comes");
		page.figure(servicesRanked({ span: 6 }));
		page.figure(sourceRegionsRanked({ span: 6 }));
		page.figure(serviceTrend());
		page.figure(regionTrend({ span: 7 }));
		page.figure(networksRanked({ span: 5 }));
		page.figure(hostsPerDay({ span: 7 }));
		page.figure(activity({ span: 5 }));
		page.figure(ackTrend({ span: 12 }));
		page.figure(ttls());
		page.figure(payloads());
		page.section("When it listened");
		page.figure(coverage());
	},
};
