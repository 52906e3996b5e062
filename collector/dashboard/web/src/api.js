// Calls of report functions. Equal calls that several figures make are made once; answers are kept until as_of moves.

export class ApiError extends Error {
	/** @param status HTTP's, 0: no answer  @param retryAfter seconds, or null */
	constructor(status, { code = null, message = "", hint = null } = {}, retryAfter = null) {
		super(message);
		Object.assign(this, { status, code, hint, retryAfter });
	}

	/** What a person can do about it. */
	get advice() {
		if (this.hint) return this.hint;
		if (this.status === 0) return "Is the dashboard running, and can this machine reach it? It is tried again by itself.";
		if (this.status === 403) return "Ask the central team if you need it, or leave out the filter on others’ sensors or sources.";
		if (this.status === 503) return "It is tried again by itself.";
		if (this.status === 504) return "Choose a shorter period, a longer step, or fewer filters.";
		if (this.status === 400) return "Change the period or the filter.";
		return "Try again; if it stays, tell whoever runs this dashboard.";
	}

	/** Seconds until it is worth trying again by itself; null: a person must change something. */
	get wait() {
		if (this.status === 0) return 5;
		if (this.status === 503) return Math.min(Math.max(this.retryAfter ?? 5, 1), 60);
		return null;
	}
}

/**
 * The address of a call.
 * @param {object} c  {fn, period: {from, to}, filter: {}, and n, rank_by, step, by, min_hosts, src}
 */
export function callPath({ fn, period, filter, ...more }, format = null) {
	const query = new URLSearchParams();
	if (period) {
		query.set("from", period.from);
		query.set("to", period.to);
	}
	if (filter && Object.keys(filter).length > 0) query.set("filter", JSON.stringify(filter));
	for (const [key, value] of Object.entries(more)) if (value !== undefined && value !== null) query.set(key, String(value));
	if (format) query.set("format", format);
	const text = query.toString();
	return `/api/${fn}${text === "" ? "" : `?${text}`}`;
}

const KEPT = 200;
const answers = new Map(); // path -> answer
const running = new Map(); // path -> {promise, controller, wanted}

/* Few calls at once: what stands first on the page is then answered, and drawn, first. */
const AT_ONCE = 3;
let busy = 0;
const waiting = [];

async function inTurn(signal, work) {
	if (busy < AT_ONCE) busy++;
	else await new Promise((go) => waiting.push(go));
	try {
		signal.throwIfAborted();
		return await work();
	} finally {
		if (waiting.length > 0) waiting.shift()();
		else busy--;
	}
}

async function load(path, signal) {
	let response;
	try {
		response = await fetch(path, { signal }); // no headers: index.html has begun to load some already
	} catch (error) {
		if (error.name === "AbortError") throw error;
		throw new ApiError(0, { message: "The dashboard does not answer." });
	}
	let body = null;
	try {
		body = await response.json();
	} catch (error) {
		if (error.name === "AbortError") throw error;
	}
	if (!response.ok || body === null || body.error) {
		const retry = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
		throw new ApiError(response.ok ? 500 : response.status, body?.error ?? { message: `The dashboard answered with ${response.status}.` },
			Number.isNaN(retry) ? null : retry);
	}
	return body;
}

/** @return {Promise<{function, sql, columns, rows}>} rejects with ApiError, or AbortError after signal */
export function call(what, { signal } = {}) {
	const path = callPath(what);
	if (answers.has(path)) {
		const answer = answers.get(path);
		answers.delete(path);
		answers.set(path, answer); // latest last
		return Promise.resolve(answer);
	}
	let run = running.get(path);
	if (!run) {
		const controller = new AbortController();
		const promise = inTurn(controller.signal, () => load(path, controller.signal)).then((answer) => {
			if (running.get(path)?.controller === controller) {
				answers.set(path, answer);
				if (answers.size > KEPT) answers.delete(answers.keys().next().value);
			}
			return answer;
		}).finally(() => {
			if (running.get(path)?.controller === controller) running.delete(path);
		});
		promise.catch(() => {}); // those who wait are told below
		run = { promise, controller, wanted: 0 };
		running.set(path, run);
	}
	run.wanted++;
	if (!signal) return run.promise;
	return new Promise((resolve, reject) => {
		const leave = () => {
			// The last one that leaves ends the query in the database.
			if (--run.wanted === 0) {
				if (running.get(path) === run) running.delete(path);
				run.controller.abort();
			}
			reject(new DOMException("cancelled", "AbortError"));
		};
		if (signal.aborted) { leave(); return; }
		signal.addEventListener("abort", leave, { once: true });
		run.promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
	});
}

/** Forgets answers that have no period, and those whose period reaches the day or goes beyond it. */
export function forget(day = null) {
	for (const path of answers.keys()) {
		const to = new URL(path, "http://x").searchParams.get("to");
		if (to === null || (day !== null && to >= day)) answers.delete(path);
	}
}
