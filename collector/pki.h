/*
 * Certificates: the CA, servers, sensors, viewers. P-256 keys throughout, random serial numbers.
 * Only the admin tool calls this: the CA's key is never in the collector's process.
 *
 * Ownership: what pki_issue and pki_ca_* hand out is the caller's (EVP_PKEY_free, X509_free,
 * pki_ca_done). Files are written whole or not at all: temporary file, fsync, rename, fsync of the
 * folder.
 */
#ifndef HIRUNDO_COLLECTOR_PKI_H
#define HIRUNDO_COLLECTOR_PKI_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/mem.h"

struct pki_ca {
	EVP_PKEY *key;
	X509 *cert;
};

/** Lifetimes, seconds. Certificates begin an hour in the past: clocks of sensors may be late. */
#define PKI_CA_LIFE_S (INT64_C(3652) * 86400)
#define PKI_BACKDATE_S INT64_C(3600)

/** Makes a CA of ten years. @param name  common name
 *  @return 0, -EINVAL, -ENOMEM */
int pki_ca_create(const char *name, struct pki_ca *ret) MUST_CHECK;

/** Reads both files and checks that they belong together and that it is a CA.
 *  @param ret_reason  heap text on error */
int pki_ca_load(const char *cert_file, const char *key_file, struct pki_ca *ret,
	char **ret_reason) MUST_CHECK;

/** Legal on zeroed memory. */
void pki_ca_done(struct pki_ca *ca);

struct pki_request {
	const char *common_name;
	bool server_auth, client_auth; /* extended key usages; both false = no such extension */
	/** Alternative names, each list NULL or ended by NULL. hosts: DNS names and addresses as
	 * text. */
	const char *const *hosts;
	const char *const *uris;
	/** Validity, seconds relative to now; from may be negative. */
	int64_t from_s, to_s;
};

/** Makes a key and a certificate (CA:FALSE) for it. Anything may be asked for: tests need bad ones.
 *  @return 0; -EINVAL where a name cannot be written down or to_s <= from_s; -ENOMEM */
int pki_issue(const struct pki_ca *ca, const struct pki_request *q, EVP_PKEY **ret_key,
	X509 **ret_cert) MUST_CHECK;

/** The usual three. days: validity from now on.
 *  @param name   of the sensor or viewer, as tls_sensor_name_valid() wants it
 *  @param hosts  of the server, at least one */
int pki_issue_sensor(const struct pki_ca *ca, const char *name, unsigned days, EVP_PKEY **ret_key,
	X509 **ret_cert) MUST_CHECK;
int pki_issue_viewer(const struct pki_ca *ca, const char *name, unsigned days, EVP_PKEY **ret_key,
	X509 **ret_cert) MUST_CHECK;
int pki_issue_server(const struct pki_ca *ca, const char *const *hosts, unsigned days,
	EVP_PKEY **ret_key, X509 **ret_cert) MUST_CHECK;

/** Write PEM, keys with mode 0600 and without pass phrase, certificates with 0644.
 *  @param replace  false: -EEXIST where the file is there */
int pki_write_key(const char *path, EVP_PKEY *key, bool replace) MUST_CHECK;
int pki_write_cert(const char *path, X509 *cert, bool replace) MUST_CHECK;

/** Writes key, certificate and CA as PKCS #12 (RFC 7292), mode 0600: browsers import that.
 *  @param pass_phrase  that it is encrypted with */
int pki_write_p12(const char *path, const char *pass_phrase, EVP_PKEY *key, X509 *cert,
	const struct pki_ca *ca) MUST_CHECK;

/** The same for any bytes: configuration of a bundle, a revocation list.
 *  @return 0, -errno; on error nothing is left behind and the old file is untouched */
int pki_write_file(
	const char *path, const void *data, size_t n, mode_t mode, bool replace) MUST_CHECK;

#endif
