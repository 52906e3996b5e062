// Which page an address is. A page is {path, title(params, view), filter(params), controls, period, problem, build(page)}: README.md.
import { overview } from "./pages/overview.js";
import { region } from "./pages/region.js";
import { sensor } from "./pages/sensor.js";
import { service } from "./pages/service.js";

export const routes = [overview, region, sensor, service];

/** Pages named at the top: [label, path]. */
export const navigation = () => [["Overview", "/"]];
