// Elements without a framework. No style attribute anywhere: the page's policy forbids it; element.style is allowed.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
	for (const [name, value] of Object.entries(attributes ?? {})) {
		if (value === undefined || value === null || value === false) continue;
		if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
		else if (name === "hidden" || name === "disabled" || name === "checked" || name === "open" || name === "selected") node[name] = value;
		else if (name === "value" && "value" in node) node.value = value;
		else node.setAttribute(name, value === true ? "" : String(value));
	}
	node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
	return node;
}

/** h("a", {href: "/", class: "x", onclick: f}, "text", node, [more]); null children are left out. */
export const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

/** The same in SVG. */
export const s = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

let last = 0;
export const newId = (stem) => `${stem}-${++last}`;

/** Puts children in the place of those that are there, unless they are the same. */
export function replace(node, ...children) {
	node.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
}

/** Hands a text to the person as a file. */
export function saveFile(name, type, text) {
	const url = URL.createObjectURL(new Blob([text], { type }));
	const link = h("a", { href: url, download: name });
	document.body.append(link);
	link.click();
	link.remove();
	setTimeout(() => URL.revokeObjectURL(url), 10000);
}
