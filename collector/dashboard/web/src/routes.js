// Which page an address is. A page is {path, title(params, view), filter(params), controls, period, problem, build(page)}: README.md.
import { overview } from "./pages/overview.js";

export const routes = [overview];

/** Pages named at the top: [label, path]. */
export const navigation = () => [["Overview", "/"]];
