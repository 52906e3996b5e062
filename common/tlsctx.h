/*
 * TLS 1.3 contexts for both ends: certificates on both sides, own CA only, no tickets, no early
 * data, no resumption (it would skip the certificate checks).
 */
#ifndef HIRUNDO_COMMON_TLSCTX_H
#define HIRUNDO_COMMON_TLSCTX_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "common/mem.h"

struct tlsctx_options {
	bool server;
	const char *ca_file; /* PEM, one or more */
	const char *cert_file; /* PEM, leaf first */
	const char *key_file; /* PEM, without pass phrase; mode 0600, or 0640 and owned by root */
	const char *crl_file; /* PEM, may be NULL; an expired CRL fails closed */
};

/** Loads and checks everything: files readable, key belongs to certificate, EKU fits the side, the
 *  certificate is valid now.
 *  @param ret_reason  heap text on error: which file and why
 *  @return 0, -EINVAL, -EACCES, -ENOENT ... */
int tlsctx_new(const struct tlsctx_options *o, SSL_CTX **ret, char **ret_reason) MUST_CHECK;

/** What the URI SAN of a sensor's or a viewer's certificate begins with; its name follows. One is
 * never taken for the other. */
#define TLS_SENSOR_URN "urn:hirundo:sensor:"
#define TLS_VIEWER_URN "urn:hirundo:viewer:"
#define TLS_NAME_MAX 63u /* of both: [a-z0-9] then [a-z0-9-]{0,62} */

bool tls_sensor_name_valid(const char *name, size_t n);

enum tls_peer_res {
	TLS_PEER_OK = 0,
	TLS_PEER_NO_CERT = 1,
	TLS_PEER_NO_URI = 2, /* no URI SAN */
	TLS_PEER_MANY_URI = 3, /* exactly one is allowed (SPIFFE X509-SVID, 2) */
	TLS_PEER_FOREIGN = 4, /* another URN (a viewer's of a sensor), or NAME out of shape */
};

/** The sensor's name from the one URI SAN of a certificate, whoever signed it. */
enum tls_peer_res tls_cert_sensor(const X509 *cert, char ret_name[TLS_NAME_MAX + 1]) MUST_CHECK;

/** A viewer's, the same way. */
enum tls_peer_res tls_cert_viewer(const X509 *cert, char ret_name[TLS_NAME_MAX + 1]) MUST_CHECK;

/** The sensor's name from the verified peer certificate. */
enum tls_peer_res tls_peer_sensor(const SSL *ssl, char ret_name[TLS_NAME_MAX + 1]) MUST_CHECK;
const char *tls_peer_res_str(enum tls_peer_res r);

#endif
