#include "collector/pki.h"

#include <errno.h>
#include <glob.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "common/tlsctx.h"
#include "tests/unit/tls_fixture.h"

static struct tls_fixture f;

static bool verifies(const struct pki_ca *ca, X509 *cert, int purpose)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool ok;

	assert_int_equal(X509_STORE_add_cert(store, ca->cert), 1);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, cert, NULL), 1);
	assert_int_equal(X509_STORE_CTX_set_purpose(ctx, purpose), 1);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_X509_STRICT);
	ok = X509_verify_cert(ctx) == 1;
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return ok;
}

/* Days and seconds from now to t. */
static double from_now(const ASN1_TIME *t)
{
	int days, seconds;

	assert_int_equal(ASN1_TIME_diff(&days, &seconds, NULL, t), 1);
	return days * 86400.0 + seconds;
}

static void test_ca(void **state)
{
	struct pki_ca other, loaded;
	char *reason = NULL;

	(void)state;
	assert_int_equal(X509_check_ca(f.ca.cert), 1);
	assert_int_equal(EVP_PKEY_get_bits(f.ca.key), 256);
	assert_in_range(
		(uint64_t)from_now(X509_get0_notAfter(f.ca.cert)), 3651 * 86400, 3653 * 86400);
	assert_true(verifies(&f.ca, f.ca.cert, X509_PURPOSE_ANY));
	assert_int_equal(pki_ca_create("", &other), -EINVAL);

	assert_int_equal(pki_write_key(tls_fixture_path(&f, "ca.key"), f.ca.key, false), 0);
	assert_int_equal(pki_ca_load(tls_fixture_path(&f, "ca.crt"), tls_fixture_path(&f, "ca.key"),
				 &loaded, &reason),
		0);
	assert_int_equal(X509_cmp(loaded.cert, f.ca.cert), 0);
	assert_int_equal(EVP_PKEY_eq(loaded.key, f.ca.key), 1);
	pki_ca_done(&loaded);
	assert_int_equal(pki_ca_load(tls_fixture_path(&f, "no"), tls_fixture_path(&f, "ca.key"),
				 &loaded, &reason),
		-ENOENT);
	free(reason);
	assert_int_equal(pki_ca_load(tls_fixture_path(&f, "ca.crt"),
				 tls_fixture_path(&f, "server.key"), &loaded, &reason),
		-EINVAL);
	assert_non_null(strstr(reason, "no key of"));
	free(reason);
	assert_int_equal(pki_ca_load(tls_fixture_path(&f, "server.crt"),
				 tls_fixture_path(&f, "server.key"), &loaded, &reason),
		-EINVAL);
	assert_non_null(strstr(reason, "no certificate of a CA"));
	free(reason);
}

static GENERAL_NAMES *names_of(X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	assert_non_null(names);
	return names;
}

static void test_sensor(void **state)
{
	GENERAL_NAMES *names;
	EVP_PKEY *key;
	X509 *cert;

	(void)state;
	assert_int_equal(pki_issue_sensor(&f.ca, "jp-1", 90, &key, &cert), 0);
	assert_true(verifies(&f.ca, cert, X509_PURPOSE_SSL_CLIENT));
	assert_false(verifies(&f.ca, cert, X509_PURPOSE_SSL_SERVER));
	assert_false(verifies(&f.other, cert, X509_PURPOSE_SSL_CLIENT));
	assert_int_equal(X509_check_ca(cert), 0);
	assert_int_equal(EVP_PKEY_get_bits(key), 256);
	assert_in_range((uint64_t)-from_now(X509_get0_notBefore(cert)), 3600, 3660);
	assert_in_range((uint64_t)from_now(X509_get0_notAfter(cert)), 90 * 86400 - 60, 90 * 86400);
	names = names_of(cert);
	assert_int_equal(sk_GENERAL_NAME_num(names), 1);
	assert_int_equal(sk_GENERAL_NAME_value(names, 0)->type, GEN_URI);
	assert_string_equal((const char *)ASN1_STRING_get0_data(
				    sk_GENERAL_NAME_value(names, 0)->d.uniformResourceIdentifier),
		"urn:hirundo:sensor:jp-1");
	GENERAL_NAMES_free(names);
	EVP_PKEY_free(key);
	X509_free(cert);

	assert_int_equal(pki_issue_sensor(&f.ca, "Not A Name", 90, &key, &cert), -EINVAL);
	assert_int_equal(pki_issue_sensor(&f.ca, "", 90, &key, &cert), -EINVAL);
}

/* One is never taken for the other. */
static void test_viewer(void **state)
{
	const char *const both[] = {"urn:hirundo:viewer:a", "urn:hirundo:sensor:a", NULL};
	const struct pki_request q = {
		.common_name = "x", .client_auth = true, .uris = both, .to_s = 60};
	char name[TLS_NAME_MAX + 1] = "";
	EVP_PKEY *key;
	X509 *cert;

	(void)state;
	assert_int_equal(pki_issue_viewer(&f.ca, "au-1", 90, &key, &cert), 0);
	assert_true(verifies(&f.ca, cert, X509_PURPOSE_SSL_CLIENT));
	assert_false(verifies(&f.ca, cert, X509_PURPOSE_SSL_SERVER));
	assert_int_equal(tls_cert_viewer(cert, name), TLS_PEER_OK);
	assert_string_equal(name, "au-1");
	assert_int_equal(tls_cert_sensor(cert, name), TLS_PEER_FOREIGN);
	EVP_PKEY_free(key);
	X509_free(cert);

	assert_int_equal(pki_issue_sensor(&f.ca, "au-1", 90, &key, &cert), 0);
	assert_int_equal(tls_cert_viewer(cert, name), TLS_PEER_FOREIGN);
	assert_int_equal(tls_cert_sensor(cert, name), TLS_PEER_OK);
	EVP_PKEY_free(key);
	X509_free(cert);

	assert_int_equal(pki_issue(&f.ca, &q, &key, &cert), 0);
	assert_int_equal(tls_cert_viewer(cert, name), TLS_PEER_MANY_URI);
	assert_int_equal(tls_cert_sensor(cert, name), TLS_PEER_MANY_URI);
	EVP_PKEY_free(key);
	X509_free(cert);
	assert_int_equal(pki_issue_viewer(&f.ca, "Not A Name", 90, &key, &cert), -EINVAL);
}

static void test_p12(void **state)
{
	const char *path = tls_fixture_path(&f, "viewer.p12");
	EVP_PKEY *key, *got_key = NULL;
	X509 *cert, *got_cert = NULL;
	STACK_OF(X509) *chain = NULL;
	PKCS12 *p12;
	struct stat st;
	BIO *bio;

	(void)state;
	assert_int_equal(pki_issue_viewer(&f.ca, "au-1", 90, &key, &cert), 0);
	assert_int_equal(pki_write_p12(path, "secret", key, cert, &f.ca), 0);
	assert_int_equal(pki_write_p12(path, "secret", key, cert, &f.ca), -EEXIST);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	bio = BIO_new_file(path, "rb");
	p12 = d2i_PKCS12_bio(bio, NULL);
	assert_non_null(p12);
	assert_int_equal(PKCS12_verify_mac(p12, "other", -1), 0);
	assert_int_equal(PKCS12_parse(p12, "secret", &got_key, &got_cert, &chain), 1);
	assert_int_equal(EVP_PKEY_eq(key, got_key), 1);
	assert_int_equal(X509_cmp(cert, got_cert), 0);
	assert_int_equal(sk_X509_num(chain), 1);
	assert_int_equal(X509_cmp(sk_X509_value(chain, 0), f.ca.cert), 0);
	sk_X509_pop_free(chain, X509_free);
	X509_free(got_cert);
	EVP_PKEY_free(got_key);
	PKCS12_free(p12);
	BIO_free(bio);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void test_server(void **state)
{
	const char *hosts[] = {"a.example", "192.0.2.1", "2001:db8::1", NULL}, *none[] = {NULL};
	const char *bad[] = {"a.example,URI:urn:x", NULL}, *space[] = {"a b", NULL};
	GENERAL_NAMES *names;
	EVP_PKEY *key;
	X509 *cert;

	(void)state;
	assert_int_equal(pki_issue_server(&f.ca, hosts, 30, &key, &cert), 0);
	assert_true(verifies(&f.ca, cert, X509_PURPOSE_SSL_SERVER));
	assert_false(verifies(&f.ca, cert, X509_PURPOSE_SSL_CLIENT));
	assert_int_equal(X509_check_host(cert, "a.example", 0, 0, NULL), 1);
	assert_int_equal(X509_check_ip_asc(cert, "192.0.2.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(cert, "2001:db8::1", 0), 1);
	assert_int_equal(X509_check_ip_asc(cert, "192.0.2.2", 0), 0);
	EVP_PKEY_free(key);
	X509_free(cert);
	assert_int_equal(pki_issue_server(&f.ca, none, 30, &key, &cert), -EINVAL);
	assert_int_equal(pki_issue_server(&f.ca, space, 30, &key, &cert), -EINVAL);
	/* A comma in a name stays one name. */
	assert_int_equal(pki_issue_server(&f.ca, bad, 30, &key, &cert), 0);
	names = names_of(cert);
	assert_int_equal(sk_GENERAL_NAME_num(names), 1);
	GENERAL_NAMES_free(names);
	EVP_PKEY_free(key);
	X509_free(cert);
}

static void test_serials_differ(void **state)
{
	const struct pki_request q = {"x", false, true, NULL, NULL, 0, 60};
	const ASN1_INTEGER *serial;
	EVP_PKEY *key[2];
	X509 *cert[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pki_issue(&f.ca, &q, &key[i], &cert[i]), 0);
		serial = X509_get0_serialNumber(cert[i]);
		assert_int_equal(ASN1_STRING_length(serial), 16);
		assert_int_equal(ASN1_STRING_type(serial), V_ASN1_INTEGER); /* positive */
	}
	assert_int_not_equal(
		ASN1_INTEGER_cmp(X509_get0_serialNumber(cert[0]), X509_get0_serialNumber(cert[1])),
		0);
	assert_int_equal(EVP_PKEY_eq(key[0], key[1]), 0);
	for (int i = 0; i < 2; i++) {
		EVP_PKEY_free(key[i]);
		X509_free(cert[i]);
	}
	assert_int_equal(
		pki_issue(&f.ca, &(struct pki_request){.common_name = "x"}, &key[0], &cert[0]),
		-EINVAL);
}

static void expect_content(const char *path, const char *want, mode_t mode)
{
	char got[64] = "";
	struct stat st;
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_true(fread(got, 1, sizeof(got) - 1, file) > 0);
	assert_int_equal(fstat(fileno(file), &st), 0);
	(void)fclose(file);
	assert_string_equal(got, want);
	assert_int_equal(st.st_mode & 07777, mode);
	assert_int_equal(st.st_nlink, 1);
}

static void test_files(void **state)
{
	const char *path = tls_fixture_path(&f, "file");
	char longest[5000];
	struct stat st;
	glob_t left;

	(void)state;
	assert_int_equal(pki_write_file(path, "one", 3, 0600, false), 0);
	expect_content(path, "one", 0600);
	assert_int_equal(pki_write_file(path, "two", 3, 0644, false), -EEXIST);
	expect_content(path, "one", 0600);
	assert_int_equal(pki_write_file(path, "three", 5, 0644, true), 0);
	expect_content(path, "three", 0644);
	assert_int_equal(pki_write_file("/nonexistent/file", "x", 1, 0600, false), -ENOENT);
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(pki_write_file(longest, "x", 1, 0600, false), -ENAMETOOLONG);
	assert_int_equal(pki_write_file("/dev/full/x", "x", 1, 0600, false), -ENOTDIR);

	assert_int_equal(glob(tls_fixture_path(&f, "*.??????"), 0, NULL, &left), GLOB_NOMATCH);

	assert_int_equal(stat(tls_fixture_path(&f, "sensor.key"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(tls_fixture_path(&f, "sensor.crt"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
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
		cmocka_unit_test(test_ca),
		cmocka_unit_test(test_sensor),
		cmocka_unit_test(test_viewer),
		cmocka_unit_test(test_p12),
		cmocka_unit_test(test_server),
		cmocka_unit_test(test_serials_differ),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
