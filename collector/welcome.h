/* HELLO -> the question to the registry -> WELCOME. Messages only; who asks is the session's
 * business. */
#ifndef HIRUNDO_COLLECTOR_WELCOME_H
#define HIRUNDO_COLLECTOR_WELCOME_H

#include "collector/registry.h"
#include "common/buf.h"
#include "common/mem.h"
#include "hirundo.pb-c.h"

/** Fills software, streams, addresses and capture from a checked HELLO. @return 0, -ENOMEM */
int welcome_question(const Hirundo__V1__Hello *m, struct registry_hello *q) MUST_CHECK;

/** Appends the WELCOME frame for an answered question.
 *  @param credit  bytes in flight. @return 0, -ENOMEM, or what buf_reserve returns */
int welcome_pack(const struct registry_hello *q, uint64_t credit, struct buf *out) MUST_CHECK;

/** Frees the lists of the question; legal on a zeroed one. */
void welcome_done(struct registry_hello *q);

#endif
