/*
 * TLS 1.3 with client certificates, for libmicrohttpd, which speaks through GnuTLS. What files hold
 * and whom to believe is judged by common/tlsctx.h, as in the collector: one policy, one code.
 */
#ifndef HIRUNDO_DASHBOARD_TLS_H
#define HIRUNDO_DASHBOARD_TLS_H

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdbool.h>

#include "common/mem.h"
#include "common/tlsctx.h"

#define TLS_PRIORITIES                                                                    \
	"NONE:+VERS-TLS1.3:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:+AEAD:+SIGN-ALL:" \
	"+GROUP-X25519:+GROUP-SECP256R1:+CTYPE-X509"

struct tls; /* counted: connections hold the one that they began with */

/** Loads and checks everything, as tlsctx_new().
 *  @param ret_reason  heap text on error: which file and why */
int tls_new(const struct tlsctx_options *o, struct tls **ret, char **ret_reason) MUST_CHECK;

/** May be NULL. */
void tls_unref(struct tls *t);

/** A connection begins: its handshake is to use t. @return t, counted */
struct tls *tls_accept(struct tls *t, gnutls_session_t session);

/** The viewer that the verified certificate of the session names. */
bool tls_viewer(gnutls_session_t session, char ret_name[TLS_NAME_MAX + 1]) MUST_CHECK;

/** libmicrohttpd wants a certificate before it knows connections: there is none. */
int tls_no_certificate(gnutls_session_t session, const gnutls_datum_t *ca, int ca_n,
	const gnutls_pk_algorithm_t *algorithms, int algorithms_n, gnutls_pcert_st **ret,
	unsigned *ret_n, gnutls_privkey_t *ret_key);

#endif
