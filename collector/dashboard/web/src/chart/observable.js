// What we use of Observable Plot, so that the bundle has no more of it.
export { axisX, axisY, barX, cell, dot, gridX, gridY, lineY, link, plot, rect, ruleX, ruleY, text, tickX } from "@observablehq/plot";
