// All regions side by side.
import { h } from "../dom.js";
import { countDays, formatPeriod, plural } from "../format.js";
import { keyNumbers, regionTable } from "../figures/summary.js";
import { networksRanked, servicesRanked, sourceRegionsRanked } from "../figures/rankings.js";
import { rising } from "../figures/rising.js";
import { commonServices, coverage, sensorMatrix } from "../figures/sensors.js";
import { meanPackets, miraiHosts, regionTrend, serviceTrend } from "../figures/trends.js";

export const overview = {
	path: /^\/$/,
	title: () => "All regions",
	build(page) {
		page.head("All regions", (view) => {
			const count = view.ctx.regions.reduce((n, r) => n + Number(r.sensors), 0);
			return ["What ", h("strong", null, plural(count, "sensor")), " in ", h("strong", null, plural(view.ctx.regions.length, "region")), " saw: ",
				h("strong", null, formatPeriod(view.period)), `, ${countDays(view.period)} of ${view.zone}.`];
		});
		page.section(null);
		page.figure(keyNumbers());
		page.figure(meanPackets({ span: 7, plotHeight: 420 }));
		page.figure(rising());
		page.figure(regionTable());
		page.section("What comes");
		page.figure(servicesRanked({ span: 6 }));
		page.figure(sourceRegionsRanked({ span: 6 }));
		page.figure(serviceTrend());
		page.figure(regionTrend({ span: 7 }));
		page.figure(networksRanked({ span: 5 }));
		page.figure(miraiHosts({ span: 7, plotHeight: 340 }));
		page.figure(commonServices({ span: 5 }));
		page.figure(sensorMatrix());
		page.section("Who listened");
		page.figure(coverage({ by: "region" }));
	},
};
