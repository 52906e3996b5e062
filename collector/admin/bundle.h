/*
 * A bundle: the folder that makes a host a sensor. ca.crt, sensor.crt, sensor.key, sensor.conf; the
 * folder is 0700, files are 0600. It appears whole under its name, or not at all.
 */
#ifndef HIRUNDO_COLLECTOR_ADMIN_BUNDLE_H
#define HIRUNDO_COLLECTOR_ADMIN_BUNDLE_H

#include "collector/admin/address.h"
#include "collector/admin/admin.h"
#include "collector/pki.h"

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

/** Makes a folder whole or not at all.
 *  @param names  of the files that may be in it, ended by NULL
 *  @param fill_folder  writes them to dir (0700, temporary); returns EX_OK, or an exit code, told
 *  @return EX_OK, or the exit code, told: nothing is left behind then */
int bundle_make(const char *dir, const char *const *names,
	int (*fill_folder)(void *arg, const char *dir), void *arg) MUST_CHECK;

/** Takes back what bundle_make() made. */
void bundle_take_back(const char *dir, const char *const *names);

/** Loads the CA of option ca_dir. @param ret  the caller's (pki_ca_done) @return EX_OK, or the exit
 * code, told */
int bundle_load_ca(const struct admin *a, struct pki_ca *ret) MUST_CHECK;

/** A name that may stand in a configuration for an interface. */
bool bundle_interface_valid(const char *name);

#endif
