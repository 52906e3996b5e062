/* Paths of files that commands make. */
#ifndef HIRUNDO_COLLECTOR_ADMIN_PATH_H
#define HIRUNDO_COLLECTOR_ADMIN_PATH_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/mem.h"

/** @return heap text DIR/NAME, NULL out of memory */
char *path_join(const char *dir, const char *name) MUST_CHECK;

/** Makes the folders that path lies in, as far as they are missing. @return 0, -errno */
int path_make_parents(const char *path) MUST_CHECK;

bool path_exists(const char *path);

#endif
