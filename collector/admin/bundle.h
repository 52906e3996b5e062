/*
 * A bundle: the folder that makes a host a sensor. ca.crt, sensor.crt, sensor.key, sensor.conf; the
 * folder is 0700, files are 0600. It appears whole under its name, or not at all.
 */
#ifndef HIRUNDO_COLLECTOR_ADMIN_BUNDLE_H
#define HIRUNDO_COLLECTOR_ADMIN_BUNDLE_H

#include "collector/admin/address.h"
#include "collector/admin/admin.h"

struct bundle {
	const char *dir;
	const char *urn_name; /* that the certificate is for */
	const char *interface; /* NULL = the operator fills it in */
	const struct address *addresses;
	size_t addresses_n;
};

/** Writes it. @return EX_OK, or the exit code, told: nothing is left behind then */
int bundle_write(struct admin *a, const struct bundle *b) MUST_CHECK;

/** Takes back what bundle_write() made. */
void bundle_remove(const char *dir);

/** A name that may stand in a configuration for an interface. */
bool bundle_interface_valid(const char *name);

#endif
