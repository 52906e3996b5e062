// One service: who tries it, where, since when.
import { h } from "../dom.js";
import { countDays, formatPeriod } from "../format.js";
import { activity } from "../figures/calendar.js";
import { payloads, ttls } from "../figures/lists.js";
import { networksRanked, sourceRegionsRanked } from "../figures/rankings.js";
import { regionTable, keyNumbers } from "../figures/summary.js";
import { hostsPerDay, meanPackets, regionTrend } from "../figures/trends.js";
import { call } from "../api.js";
import { serviceFromPath } from "../state.js";

/** What it is commonly scanned for, and IANA's name where that is another word. */
function namesOf({ common_name: common, name }) {
	if (!common || !name || common.toLowerCase().includes(name.toLowerCase())) return common ?? name ?? "";
	return `${common} (${name})`;
}

export const service = {
	path: /^\/service\/([A-Za-z0-9.-]{1,40})$/,
	title: ([part]) => serviceFromPath(part),
	filter: ([part]) => ({ services: [serviceFromPath(part)] }),
	build(page) {
		const name = serviceFromPath(page.params[0]);
		const words = h("span");
		page.head(name, (view) => {
			// The name is in the ranking of this service alone.
			call({ fn: "top_services", period: view.period, filter: view.with({}), n: 1 }).then(({ rows }) => {
				words.textContent = rows[0] ? namesOf(rows[0]) : "";
			}, () => {});
			return [h("strong", null, words), " ", `${formatPeriod(view.period)}, ${countDays(view.period)} of ${view.zone}. Names tell what a port is commonly scanned for, not what was found there.`];
		});
		page.section(null);
		page.figure(keyNumbers());
		page.figure(meanPackets({ span: 7 }));
		page.figure(hostsPerDay({ span: 5 }));
		page.figure(regionTable({ title: "Where it is seen" }));
		page.section("Who tries it");
		page.figure(sourceRegionsRanked({ span: 6 }));
		page.figure(networksRanked({ span: 6 }));
		page.figure(networksRanked({ span: 6, by: "organization" }));
		page.figure(activity({ span: 6 }));
		page.figure(regionTrend());
		page.figure(ttls());
		page.figure(payloads());
	},
};
