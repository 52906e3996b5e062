#include "common/tlsctx.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/unit/tls_fixture.h"

static struct tls_fixture f;

static void put(const char *name, const char *text)
{
	assert_int_equal(
		pki_write_file(tls_fixture_path(&f, name), text, strlen(text), 0600, true), 0);
}

static void issue(const char *cert_name, const char *key_name, const struct pki_request *q)
{
	EVP_PKEY *key;
	X509 *cert;

	assert_int_equal(pki_issue(&f.ca, q, &key, &cert), 0);
	assert_int_equal(pki_write_cert(tls_fixture_path(&f, cert_name), cert, true), 0);
	assert_int_equal(pki_write_key(tls_fixture_path(&f, key_name), key, true), 0);
	X509_free(cert);
	EVP_PKEY_free(key);
}

struct names {
	const char *ca, *cert, *key, *crl;
};

static int try(bool server, const struct names *n, char **ret_reason)
{
	const struct tlsctx_options o = {
		.server = server,
		.ca_file = tls_fixture_path(&f, n->ca),
		.cert_file = tls_fixture_path(&f, n->cert),
		.key_file = tls_fixture_path(&f, n->key),
		.crl_file = n->crl ? tls_fixture_path(&f, n->crl) : NULL,
	};
	SSL_CTX *ctx = NULL;
	int r;

	*ret_reason = NULL;
	r = tlsctx_new(&o, &ctx, ret_reason);
	SSL_CTX_free(ctx);
	return r;
}

/* The reason says what is wrong in which file. */
static void expect(bool server, struct names n, int want, const char *file, const char *why)
{
	char *reason;
	int r = try(server, &n, &reason);

	if (r != want || (r < 0 && (!strstr(reason, file) || !strstr(reason, why))))
		fail_msg("%d, not %d, %s: %s", r, want, why, reason);
	free(reason);
}

static void test_good(void **state)
{
	(void)state;
	expect(true, (struct names){"ca.crt", "server.crt", "server.key", NULL}, 0, "", "");
	expect(false, (struct names){"ca.crt", "sensor.crt", "sensor.key", NULL}, 0, "", "");
	tls_fixture_crl(&f, "crl", NULL, 3600);
	expect(true, (struct names){"ca.crt", "server.crt", "server.key", "crl"}, 0, "", "");
}

static void test_policy(void **state)
{
	SSL_CTX *ctx = tls_fixture_ctx(&f, true, NULL);

	(void)state;
	assert_int_equal(SSL_CTX_get_min_proto_version(ctx), TLS1_3_VERSION);
	assert_int_equal(SSL_CTX_get_max_proto_version(ctx), TLS1_3_VERSION);
	assert_int_equal(SSL_CTX_get_num_tickets(ctx), 0);
	assert_true(SSL_CTX_get_options(ctx) & SSL_OP_NO_TICKET);
	assert_int_equal(SSL_CTX_get_session_cache_mode(ctx), SSL_SESS_CACHE_OFF);
	assert_int_equal(SSL_CTX_get_max_early_data(ctx), 0);
	assert_int_equal(
		SSL_CTX_get_verify_mode(ctx), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
	assert_int_equal(SSL_CTX_get_verify_depth(ctx), 2);
	SSL_CTX_free(ctx);
}

static void test_files(void **state)
{
	(void)state;
	expect(true, (struct names){"no", "server.crt", "server.key", NULL}, -ENOENT, "/no",
		"No such file");
	expect(true, (struct names){"ca.crt", "no", "server.key", NULL}, -ENOENT, "/no",
		"No such file");
	expect(true, (struct names){"ca.crt", "server.crt", "no", NULL}, -ENOENT, "/no",
		"No such file");
	expect(true, (struct names){"ca.crt", "server.crt", "server.key", "no"}, -ENOENT, "/no",
		"CRL");
	put("junk", "junk\n");
	expect(true, (struct names){"junk", "server.crt", "server.key", NULL}, -EINVAL, "/junk",
		"no PEM");
	expect(true, (struct names){"ca.crt", "junk", "server.key", NULL}, -EINVAL, "/junk",
		"no PEM");
	expect(true, (struct names){"ca.crt", "server.crt", "junk", NULL}, -EINVAL, "/junk",
		"no PEM");
	expect(true, (struct names){"ca.crt", "server.crt", "server.key", "junk"}, -EINVAL, "/junk",
		"no PEM");
	expect(true, (struct names){".", "server.crt", "server.key", NULL}, -EINVAL, "/.",
		"no file");
	expect(true, (struct names){"server.crt", "server.crt", "server.key", NULL}, -EINVAL,
		"/server.crt", "no CA");
	expect(true, (struct names){"ca.crt", "server.crt", "sensor.key", NULL}, -EINVAL,
		"/sensor.key", "does not belong");
	put("torn", "-----BEGIN CERTIFICATE-----\nMIIB\n");
	expect(true, (struct names){"torn", "server.crt", "server.key", NULL}, -EINVAL, "/torn",
		"CA");
}

static void test_own_certificate(void **state)
{
	(void)state;
	issue("c", "k", &(struct pki_request){"x", true, false, NULL, NULL, -7200, -3600});
	expect(true, (struct names){"ca.crt", "c", "k", NULL}, -EINVAL, "/c", "has expired");
	issue("c", "k", &(struct pki_request){"x", true, false, NULL, NULL, 3600, 7200});
	expect(true, (struct names){"ca.crt", "c", "k", NULL}, -EINVAL, "/c", "not yet valid");
	expect(false, (struct names){"ca.crt", "server.crt", "server.key", NULL}, -EINVAL,
		"/server.crt", "lacks clientAuth");
	expect(true, (struct names){"ca.crt", "sensor.crt", "sensor.key", NULL}, -EINVAL,
		"/sensor.crt", "lacks serverAuth");
	issue("c", "k", &(struct pki_request){"x", false, false, NULL, NULL, -60, 3600});
	expect(true, (struct names){"ca.crt", "c", "k", NULL}, -EINVAL, "/c", "lacks serverAuth");
}

static void test_key_mode(void **state)
{
	static const struct {
		mode_t mode;
		uid_t owner;
		int want;
	} cases[] = {{0600, 0, 0}, {0400, 0, 0}, {0640, 0, 0}, {0660, 0, -EACCES},
		{0644, 0, -EACCES}, {0604, 0, -EACCES}, {0600, 65534, -EACCES}};
	const struct names n = {"ca.crt", "server.crt", "server.key", NULL};
	char key[128];

	(void)state;
	if (geteuid() != 0)
		skip();
	(void)snprintf(key, sizeof(key), "%s/server.key", f.dir);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(chown(key, cases[i].owner, (gid_t)-1), 0);
		assert_int_equal(chmod(key, cases[i].mode), 0);
		expect(true, n, cases[i].want, "/server.key", "others can read");
	}
	assert_int_equal(chown(key, 0, (gid_t)-1), 0);
	assert_int_equal(chmod(key, 0600), 0);
}

static void test_sensor_name(void **state)
{
	char longest[TLS_NAME_MAX + 2];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	assert_true(tls_sensor_name_valid("a", 1));
	assert_true(tls_sensor_name_valid("0-jp-tokyo", 10));
	assert_true(tls_sensor_name_valid(longest, TLS_NAME_MAX));
	assert_false(tls_sensor_name_valid(longest, TLS_NAME_MAX + 1));
	assert_false(tls_sensor_name_valid("", 0));
	assert_false(tls_sensor_name_valid("-a", 2));
	assert_false(tls_sensor_name_valid("A", 1));
	assert_false(tls_sensor_name_valid("a_b", 3));
	assert_false(tls_sensor_name_valid("a\0b", 3));
}

static int setup(void **state)
{
	(void)state;
	tls_fixture_init(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tls_fixture_done(&f);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_own_certificate),
		cmocka_unit_test(test_key_mode),
		cmocka_unit_test(test_sensor_name),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
