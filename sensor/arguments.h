/* The sensor's command line. */
#ifndef HIRUNDO_SENSOR_ARGUMENTS_H
#define HIRUNDO_SENSOR_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"

struct arguments {
	const char *config, *read; /* of argv */
	bool print, again, check;
	int64_t cover_from_us, cover_to_us; /* --cover, both 0 without it */
};

/** Answers --help and --version itself, tells usage errors on stderr.
 *  @return -1 to go on, else the exit code */
int arguments_parse(int argc, char **argv, struct arguments *ret) MUST_CHECK;

#endif
