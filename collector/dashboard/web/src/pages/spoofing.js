// Is it real: campaigns first, because one machine makes most of the sources that are not.
import { h } from "../dom.js";
import { countDays, formatPeriod } from "../format.js";
import { ttls } from "../figures/lists.js";
import { campaignDays, campaigns, responseCheck, ttlMatrix, verdictChanges, verdictCounts, verdictList, verdictShare } from "../figures/verdicts.js";

export const spoofing = {
	path: /^\/spoofing$/,
	title: () => "Spoofing",
	controls: { cmp: false },
	build(page) {
		page.head("Is it real?", (view) => ["Which sources are what they claim, by the hops that their packets took to ", h("strong", null, `${view.ctx.regions.length} regions`), ": ",
			h("strong", null, formatPeriod(view.period)), `, ${countDays(view.period)} of ${view.zone}. A spoofed source’s region is claimed; whoever holds the address did nothing.`]);
		page.section("Campaigns", "One machine that claims many networks.");
		page.figure(campaigns());
		page.figure(campaignDays({ span: 7 }));
		page.figure(responseCheck({ span: 5 }));
		page.section("How much");
		page.figure(verdictShare());
		page.figure(verdictCounts());
		page.section("TTLs", "As in TSUBAME’s table; filter by service or network to see one sender.");
		page.figure(ttlMatrix({ span: 6 }));
		page.figure(ttls({ span: 6 }));
		page.section("Which sources");
		page.figure(verdictChanges());
		page.figure(verdictList({ n: 50, only: ["spoofed", "mixed"] }));
	},
};
