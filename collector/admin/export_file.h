/*
 * A file that is there whole or not at all: written beside its place under another name, hashed on
 * the way, put into its place at the end. Never in place of another file. Only its owner may read
 * it.
 */
#ifndef HIRUNDO_COLLECTOR_ADMIN_EXPORT_FILE_H
#define HIRUNDO_COLLECTOR_ADMIN_EXPORT_FILE_H

#include <openssl/types.h>
#include <stdint.h>
#include <stdio.h>

#include "common/mem.h"

/** SHA-256 in hexadecimal digits, and the zero byte. */
#define EXPORT_SHA256_TEXT 65

struct export_file {
	char *path, *temporary; /* temporary: NULL where there is nothing to remove */
	FILE *f;
	EVP_MD_CTX *hash;
	int error; /* the first, -errno */
};

/** @param path  copied
 *  @return 0; -EEXIST where something is there already; -errno. Call export_file_done() always. */
int export_file_open(const char *path, struct export_file *ret) MUST_CHECK;

/** Errors are kept for export_file_finish(). */
void export_file_write(struct export_file *e, const void *p, size_t n);

/** All of it reaches the disk. @return 0, or what the first error was: -ENOSPC, -EIO, ... */
int export_file_finish(
	struct export_file *e, char ret_sha256[static EXPORT_SHA256_TEXT]) MUST_CHECK;

/** Puts a finished file into its place. @return 0, -EEXIST, -errno */
int export_file_publish(struct export_file *e) MUST_CHECK;

/** Removes what was not published. */
void export_file_done(struct export_file *e);

#endif
