// Which page an address is. A page is {path, title(params, view), filter(params), controls, period, problem, build(page)}: README.md.
import { lastQuarter } from "./days.js";
import { network } from "./pages/network.js";
import { overview } from "./pages/overview.js";
import { quarter } from "./pages/quarter.js";
import { queries } from "./pages/queries.js";
import { region } from "./pages/region.js";
import { sensor } from "./pages/sensor.js";
import { service } from "./pages/service.js";
import { source } from "./pages/source.js";
import { spoofing } from "./pages/spoofing.js";

export const routes = [overview, region, sensor, service, source, network, spoofing, quarter, queries];

/** Pages named at the top: [label, path]. */
export const navigation = (ctx) => [["Overview", "/"], ["Spoofing", "/spoofing"], ["Quarter", `/quarter/${lastQuarter(ctx.viewer.today)}`], ["Queries", "/queries"]];
