#include "tests/unit/tls_fixture.h"

#include <dirent.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/tlsctx.h"

const char *tls_fixture_path(const struct tls_fixture *f, const char *name)
{
	static char paths[8][512];
	static unsigned at;
	char *path = paths[at++ % 8];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", f->dir, name);
	return path;
}

static void write_pair(const struct tls_fixture *f, const char *cert_name, const char *key_name,
	X509 *cert, EVP_PKEY *key)
{
	assert_int_equal(pki_write_cert(tls_fixture_path(f, cert_name), cert, false), 0);
	assert_int_equal(pki_write_key(tls_fixture_path(f, key_name), key, false), 0);
	X509_free(cert);
	EVP_PKEY_free(key);
}

void tls_fixture_init(struct tls_fixture *f)
{
	const char *hosts[] = {"collector.test", "127.0.0.1", "::1", NULL};
	EVP_PKEY *key;
	X509 *cert;

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/hirundo-tls.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(pki_ca_create("Test CA", &f->ca), 0);
	assert_int_equal(pki_ca_create("Test CA", &f->other), 0);
	assert_int_equal(pki_write_cert(tls_fixture_path(f, "ca.crt"), f->ca.cert, false), 0);
	assert_int_equal(pki_issue_server(&f->ca, hosts, 30, &key, &cert), 0);
	write_pair(f, "server.crt", "server.key", cert, key);
	assert_int_equal(pki_issue_sensor(&f->ca, "alpha-1", 30, &key, &cert), 0);
	write_pair(f, "sensor.crt", "sensor.key", cert, key);
}

void tls_fixture_done(struct tls_fixture *f)
{
	DIR *dir = opendir(f->dir);
	struct dirent *e;

	assert_non_null(dir);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			assert_int_equal(unlink(tls_fixture_path(f, e->d_name)), 0);
	(void)closedir(dir);
	assert_int_equal(rmdir(f->dir), 0);
	pki_ca_done(&f->ca);
	pki_ca_done(&f->other);
}

SSL_CTX *tls_fixture_ctx(const struct tls_fixture *f, bool server, const char *crl)
{
	const struct tlsctx_options o = {
		.server = server,
		.ca_file = tls_fixture_path(f, "ca.crt"),
		.cert_file = tls_fixture_path(f, server ? "server.crt" : "sensor.crt"),
		.key_file = tls_fixture_path(f, server ? "server.key" : "sensor.key"),
		.crl_file = crl ? tls_fixture_path(f, crl) : NULL,
	};
	SSL_CTX *ctx = NULL;
	char *reason = NULL;

	if (tlsctx_new(&o, &ctx, &reason) != 0)
		fail_msg("%s", reason);
	return ctx;
}

SSL_CTX *tls_fixture_ctx_with(const struct tls_fixture *f, bool server, const struct pki_ca *ca,
	const struct pki_request *q)
{
	SSL_CTX *ctx = tls_fixture_ctx(f, server, NULL);
	EVP_PKEY *key;
	X509 *cert;

	assert_int_equal(pki_issue(ca, q, &key, &cert), 0);
	assert_int_equal(SSL_CTX_use_cert_and_key(ctx, cert, key, NULL, 1), 1);
	EVP_PKEY_free(key);
	X509_free(cert);
	return ctx;
}

static void add_revoked(X509_CRL *crl, const char *cert_file)
{
	X509_REVOKED *revoked = X509_REVOKED_new();
	BIO *bio = BIO_new_file(cert_file, "r");
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	ASN1_TIME *now = ASN1_TIME_set(NULL, time(NULL) - 60);

	assert_non_null(cert);
	assert_int_equal(X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(cert)), 1);
	assert_int_equal(X509_REVOKED_set_revocationDate(revoked, now), 1);
	assert_int_equal(X509_CRL_add0_revoked(crl, revoked), 1);
	ASN1_TIME_free(now);
	X509_free(cert);
	BIO_free(bio);
}

void tls_fixture_crl(
	const struct tls_fixture *f, const char *name, const char *revoked_cert_file, int64_t to_s)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *from = ASN1_TIME_set(NULL, time(NULL) - 3600),
		  *to = ASN1_TIME_set(NULL, time(NULL) + to_s);
	BIO *bio;

	assert_int_equal(X509_CRL_set_version(crl, X509_CRL_VERSION_2), 1);
	assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(f->ca.cert)), 1);
	assert_int_equal(X509_CRL_set1_lastUpdate(crl, from), 1);
	assert_int_equal(X509_CRL_set1_nextUpdate(crl, to), 1);
	if (revoked_cert_file)
		add_revoked(crl, revoked_cert_file);
	assert_true(X509_CRL_sign(crl, f->ca.key, EVP_sha256()) > 0);
	bio = BIO_new_file(tls_fixture_path(f, name), "w");
	assert_int_equal(PEM_write_bio_X509_CRL(bio, crl), 1);
	BIO_free(bio);
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
	X509_CRL_free(crl);
}
