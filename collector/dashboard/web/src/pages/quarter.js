// The quarterly report: tables and figures of TSUBAME's quarterly and Overflow reports, on one page that prints.
import { next, previous, quarterPeriod } from "../days.js";
import { h } from "../dom.js";
import { countDays, formatDay } from "../format.js";
import { publications } from "../figures/publication.js";
import { ackOrganizations, servicesRanked, sourceRegionsRanked } from "../figures/rankings.js";
import { commonServices, coverage, sensorMatrix } from "../figures/sensors.js";
import { scoped } from "../figures/scoped.js";
import { ackTrend, miraiHosts, monthlyMeans, regionTrend, serviceTrend } from "../figures/trends.js";
import { campaigns, ttlMatrix, verdictShare } from "../figures/verdicts.js";

/** Reports refuse days to come. */
export const soFar = (period, today) => ({ from: period.from, to: period.to < today ? period.to : today });

/** Whose quarter it is: the home region's, or of a viewer of regions that has others with sensors, its own. */
export function homeOf({ viewer, regions }) {
	const own = viewer.regions.filter((code) => regions.some((row) => row.region === code));
	return viewer.everything || own.length === 0 || own.includes(viewer.home_region) ? viewer.home_region : own[0];
}

const nameOf = (period) => `${period.from.slice(0, 4)}Q${(Number(period.from.slice(5, 7)) + 2) / 3}`;

export const quarter = {
	path: /^\/quarter\/(\d{4})Q([1-4])$/i,
	title: ([year, n]) => `Quarter ${n} of ${year}`,
	controls: { period: false, filter: false, step: false },
	period: ([year, n], ctx) => soFar(quarterPeriod(year, Number(n)), ctx.viewer.today),
	problem([year, n], ctx) {
		const { from, to } = quarterPeriod(year, Number(n));
		const { today, first_day: firstDay } = ctx.viewer;
		if (from > today) return `Quarter ${n} of ${year} has not begun.`;
		return firstDay && to < firstDay ? `There are no data of quarter ${n} of ${year}: the first are of ${formatDay(firstDay)}.` : null;
	},
	build(page) {
		const [year, n] = page.params;
		const period = quarterPeriod(year, Number(n));
		const { viewer, names } = page.ctx;
		const homeCode = homeOf(page.ctx);
		const home = names.get(homeCode) ?? homeCode;
		let table = 0;
		let chart = 0;
		const numbered = (spec, title, more = {}) => ({ ...spec, ...more, title: `${spec.chart && !more.asTable ? `Figure ${++chart}` : `Table ${++table}`}. ${title}` });
		/** @param {object} filter  of the figure  @param {object} choices  of its view */
		const put = (spec, title, { filter = {}, choices = {}, ...more } = {}) => page.figure(numbered(scoped(spec, (view) => view.vary(choices, { ...at, ...filter })), title, more));
		const at = homeCode === viewer.home_region ? {} : { home: homeCode };
		const domestic = { grp: "domestic" };
		const overseas = { grp: "overseas" };
		const ports = { ...domestic, ports_only: true };
		const fromHome = { src_region: [homeCode] };

		page.head(`${home}: quarter ${n} of ${year}`, (view) => [formatDay(view.period.from), " to ", formatDay(view.period.to), `, ${countDays(view.period)} of ${view.zone}`,
			period.to >= viewer.today ? h("strong", null, ", not over: ranks before are those of as many days before") : "", `. Domestic: sensors in ${home}; overseas: all others. `,
			h("span", { class: "screen-only" }, h("a", { href: view.link(`/quarter/${nameOf(previous(period))}`) }, "Quarter before"), next(period).from <= viewer.today ? [" · ", h("a", { href: view.link(`/quarter/${nameOf(next(period))}`) }, "Quarter after")] : null, " · ",
				h("button", { type: "button", class: "small", onclick: () => print() }, "Print"))]);
		page.section(null);
		page.figure(publications({ name: `${year}Q${n}` }));

		page.section("How much", "Packets for each address that listens, against the same month a year before.");
		put(monthlyMeans(), "Packets a day per sensor address, domestic and overseas, month by month, and a year before", { name: "quarter-mean", choices: { step: "month" } });

		page.section("Services");
		put(servicesRanked({ span: 6, n: 5, height: 190 }), "Services at domestic sensors, TCP and UDP ports, first five", { name: "quarter-services", filter: ports, asTable: true });
		put(servicesRanked({ span: 6, n: 5, height: 190 }), `Services that sources registered in ${home} try, at all sensors, first five`, { name: "quarter-home-sources", filter: fromHome, asTable: true });
		put(serviceTrend({ span: 12, n: 5 }), "The domestic services over time", { name: "quarter-service-trend", filter: ports, choices: { step: "day" } });

		page.section("Source regions", "Where sources are registered; spoofed ones only claim it.");
		put(sourceRegionsRanked({ span: 5, n: 5 }), "Source regions at domestic sensors, first five", { name: "quarter-regions", filter: domestic, asTable: true });
		put(regionTrend({ span: 7 }), "The same regions over time", { name: "quarter-region-trend", filter: domestic, choices: { step: "day" } });

		page.section("Sensor by sensor");
		put(sensorMatrix({ span: 12 }), "First ten services of each sensor", { name: "quarter-sensors", asTable: true });
		put(commonServices({ span: 6 }), "Seen widely: domestic sensors", { name: "quarter-common-domestic", filter: domestic });
		put(commonServices({ span: 6 }), "Seen widely: overseas sensors", { name: "quarter-common-overseas", filter: overseas });

		page.section("Mirai");
		put(miraiHosts({ span: 12, plotHeight: 260 }), "Hosts a day that send what Mirai sends, domestic sensors: all, and the first five source regions", { name: "quarter-mirai", filter: domestic });

		page.section(`Attacked in ${home}`, "Hosts that answer to packets that carried our addresses.");
		put(ackTrend({ span: 7 }), `TCP packets with ACK from ${home}, day by day`, { name: "quarter-ack", filter: fromHome, choices: { step: "day" } });
		put(ackOrganizations({ span: 5 }), "Their organizations", { name: "quarter-ack-organizations", filter: fromHome });

		page.section("Is it real?");
		put(ttlMatrix({ span: 6 }), `TTLs of sources in ${home}, by region of the sensors and initial TTL`, { name: "quarter-ttl", filter: fromHome, asTable: true });
		put(verdictShare({ span: 6 }), "Share of spoofed hosts, week by week", { name: "quarter-verdicts", choices: { step: "week" } });
		put(campaigns(), "Campaigns: one machine, many claimed networks", { name: "quarter-campaigns" });

		page.section("Who listened");
		put(coverage({ by: "region" }), "Coverage by region", { name: "quarter-coverage" });
	},
};
