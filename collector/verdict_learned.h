/*
 * What the last pass over a whole day learned, read back, so that a part of the day's sources can
 * be judged by it. Blocking libpq; the caller's transaction.
 */
#ifndef HIRUNDO_COLLECTOR_VERDICT_LEARNED_H
#define HIRUNDO_COLLECTOR_VERDICT_LEARNED_H

#include "collector/verdict_day.h"

/** Between the rows and their order: numbers the day's signatures and regions that only the
 * profiles have, and fills family[].learned, in the numbers of then.
 *  @return as verdict_day_load */
int verdict_learned_load(struct verdict_day *d, PGconn *conn, const char *day) MUST_CHECK;
/** After signatures were numbered anew: brings the votes into verdict_input's order.
 *  @param moved  [old number] new number */
void verdict_learned_settle(struct verdict_day *d, const uint32_t *moved);

#endif
