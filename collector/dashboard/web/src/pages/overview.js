import { servicesRanked } from "../figures/rankings.js";

export const overview = {
	path: /^\/$/,
	title: () => "All regions",
	build(page) {
		page.head("All regions", () => "Hi");
		page.section(null);
		page.figure(servicesRanked({ span: 6 }));
	},
};
