/*
 * An answer of /api: one function of schema report, its rows as JSON or CSV. Rows go to the client
 * as they come from the database; what lies between them is bounded, and so is the time that a slow
 * client may hold a connection of the pool. A client that goes away takes its statement along.
 */
#ifndef HIRUNDO_DASHBOARD_ANSWER_H
#define HIRUNDO_DASHBOARD_ANSWER_H

#include <microhttpd.h>
#include <stdint.h>
#include <uv.h>

#include "collector/dashboard/pool.h"
#include "collector/dashboard/request.h"
#include "common/mem.h"

struct answer;

/** What answers share. */
struct answer_host {
	uv_loop_t *loop;
	struct pool *pool;
	/** libmicrohttpd has something to do: run it soon, not from within. */
	void (*kick)(void *arg);
	void *arg;
	int64_t statement_us; /* the pool's; some seconds later the answer gives up by itself */
	/* The module's own. */
	struct answer *first; /* all of them */
	unsigned n; /* answers that are not over */
	size_t buffered; /* bytes of them that clients have not taken */
	uint64_t gone; /* clients that did not wait */
};

/** Bytes of the target's path that name the function follow this. */
#define ANSWER_PREFIX "/api/"

/** Starts an answer, or says at once what is wrong with the request. The connection is suspended
 *  until there is something to say; then the request's handler runs again and calls answer_queue().
 *  @param q       taken over
 *  @param viewer  copied
 *  @return NULL: out of memory */
struct answer *answer_new(struct answer_host *host, struct MHD_Connection *c, struct request *q,
	const char *viewer) MUST_CHECK;

/** Queues the response, or suspends the connection where there is none yet. */
enum MHD_Result answer_queue(struct answer *a) MUST_CHECK;

/** The target's path, decoded. */
const char *answer_path(const struct answer *a);
/** HTTP status of the response; 0: none yet. */
unsigned answer_status(const struct answer *a);
/** Bytes handed to libmicrohttpd. */
uint64_t answer_bytes(const struct answer *a);

/** The request is over, however it ended. */
void answer_done(struct answer *a);

/** Ends what is under way: their clients see answers that are cut. Run libmicrohttpd afterwards. */
void answer_abort_all(struct answer_host *host);

#endif
