/* A CA, its certificates and contexts for tests of TLS; also bad ones. */
#ifndef HIRUNDO_TESTS_TLS_FIXTURE_H
#define HIRUNDO_TESTS_TLS_FIXTURE_H

#include <openssl/ssl.h>

#include "collector/pki.h"

struct tls_fixture {
	char dir[64]; /* holds ca.crt, server.crt, server.key, sensor.crt, sensor.key */
	struct pki_ca ca, other; /* other: the same name, another key */
};

void tls_fixture_init(struct tls_fixture *f);
void tls_fixture_done(struct tls_fixture *f);

/** "DIR/name"; valid until the eighth call after this one. */
const char *tls_fixture_path(const struct tls_fixture *f, const char *name);

/** A context as tlsctx_new makes it from the good files; crl may be NULL. */
SSL_CTX *tls_fixture_ctx(const struct tls_fixture *f, bool server, const char *crl);

/** The same with another certificate, which tlsctx_new itself might refuse. */
SSL_CTX *tls_fixture_ctx_with(const struct tls_fixture *f, bool server, const struct pki_ca *ca,
	const struct pki_request *q);

/** Writes DIR/name: a revocation list, valid from now - 1 h to now + to_s; revoked may be NULL. */
void tls_fixture_crl(
	const struct tls_fixture *f, const char *name, const char *revoked_cert_file, int64_t to_s);

#endif
