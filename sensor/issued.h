/*
 * The ordinals that the collector issued, kept beside the spool, so that a sensor whose collector
 * is away starts to listen at once, and to be told to a collector whose database went back to an
 * earlier state: spooled records carry them. A secret file (mode 0600): it lists own addresses.
 */
#ifndef HIRUNDO_SENSOR_ISSUED_H
#define HIRUNDO_SENSOR_ISSUED_H

#include "common/mem.h"

struct targets;

/** Issues to t what the file knows. A missing file is an empty one; a line that is none is skipped:
 *  WELCOME tells again. @return 0, -errno */
int issued_load(const char *path, struct targets *t) MUST_CHECK;

/** Writes all of t's ordinals (temporary file, fsync, rename). @return 0, -errno */
int issued_save(const char *path, const struct targets *t) MUST_CHECK;

#endif
