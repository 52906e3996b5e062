#include "collector/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/tlsctx.h"

/** Serial numbers: 127 random bits, positive (RFC 5280, 4.1.2.2: at most 20 octets). */
#define SERIAL_BYTES 16

static int set_serial(X509 *cert)
{
	uint8_t bytes[SERIAL_BYTES];
	BIGNUM *bn;
	int ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return 0;
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* never short, never zero */
	bn = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;
	BN_free(bn);
	return ok;
}

static int set_time(ASN1_TIME *t, int64_t from_now_s)
{
	return ASN1_TIME_set(t, (time_t)(time(NULL) + from_now_s)) != NULL;
}

static int add_extension(X509 *cert, const X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	int ok;

	X509V3_set_ctx(&ctx, (X509 *)(uintptr_t)issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

/* Takes name. */
static int push_name(GENERAL_NAMES *names, int type, void *value)
{
	GENERAL_NAME *name = GENERAL_NAME_new();

	if (!name)
		return 0;
	GENERAL_NAME_set0_value(name, type, value);
	if (sk_GENERAL_NAME_push(names, name) > 0)
		return 1;
	GENERAL_NAME_free(name);
	return 0;
}

static int push_text(GENERAL_NAMES *names, int type, const char *text)
{
	ASN1_IA5STRING *s = ASN1_IA5STRING_new();

	if (!s)
		return 0;
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f) {
			ASN1_IA5STRING_free(s);
			return 0;
		}
	if (ASN1_STRING_set(s, text, -1) != 1) {
		ASN1_IA5STRING_free(s);
		return 0;
	}
	return push_name(names, type, s);
}

/* The names are built, not parsed from text: a comma in one cannot become two. */
static int add_names(X509 *cert, const struct pki_request *q)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	int ok = names != NULL;

	for (size_t i = 0; ok && q->hosts && q->hosts[i]; i++) {
		ASN1_OCTET_STRING *ip = a2i_IPADDRESS(q->hosts[i]);

		ok = ip ? push_name(names, GEN_IPADD, ip) : push_text(names, GEN_DNS, q->hosts[i]);
	}
	for (size_t i = 0; ok && q->uris && q->uris[i]; i++)
		ok = push_text(names, GEN_URI, q->uris[i]);
	if (ok && sk_GENERAL_NAME_num(names) > 0)
		ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

/* What every certificate has. @param issuer  NULL: self-signed */
static X509 *new_cert(
	const char *common_name, EVP_PKEY *key, const X509 *issuer, int64_t from_s, int64_t to_s)
{
	X509 *cert = X509_new();
	X509_NAME *name;

	if (!cert)
		return NULL;
	name = X509_get_subject_name(cert);
	if (X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
		set_time(X509_getm_notBefore(cert), from_s) &&
		set_time(X509_getm_notAfter(cert), to_s) &&
		X509_NAME_add_entry_by_txt(
			name, "CN", MBSTRING_UTF8, (const uint8_t *)common_name, -1, -1, 0) == 1 &&
		X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : name) == 1 &&
		X509_set_pubkey(cert, key) == 1)
		return cert;
	X509_free(cert);
	return NULL;
}

static int result(int ok)
{
	int r = ok                                                              ? 0
		: ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE ? -ENOMEM
										: -EINVAL;

	ERR_clear_error();
	return r;
}

int pki_ca_create(const char *name, struct pki_ca *ret)
{
	struct pki_ca ca = {.key = EVP_EC_gen("P-256")};
	int ok;

	ca.cert = ca.key ? new_cert(name, ca.key, NULL, -PKI_BACKDATE_S, PKI_CA_LIFE_S) : NULL;
	ok = ca.cert &&
	     add_extension(ca.cert, ca.cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	     add_extension(ca.cert, ca.cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	     add_extension(ca.cert, ca.cert, NID_subject_key_identifier, "hash") &&
	     X509_sign(ca.cert, ca.key, EVP_sha256()) > 0;
	if (ok)
		*ret = ca;
	else
		pki_ca_done(&ca);
	return result(ok);
}

void pki_ca_done(struct pki_ca *ca)
{
	EVP_PKEY_free(ca->key);
	X509_free(ca->cert);
	*ca = (struct pki_ca){0};
}

static int no_password(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

static PRINTF_LIKE(3, 4) int refuse(char **ret_reason, int r, const char *fmt, ...)
{
	va_list ap;

	ERR_clear_error();
	va_start(ap, fmt);
	if (vasprintf(ret_reason, fmt, ap) < 0)
		*ret_reason = NULL;
	va_end(ap);
	return r;
}

int pki_ca_load(const char *cert_file, const char *key_file, struct pki_ca *ret, char **ret_reason)
{
	struct pki_ca ca = {0};
	int r = 0;
	BIO *bio;

	bio = BIO_new_file(cert_file, "r");
	if (!bio)
		return refuse(ret_reason, -errno, "CA %s: %s", cert_file, strerror(errno));
	ca.cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
	BIO_free(bio);
	bio = BIO_new_file(key_file, "r");
	if (!bio) {
		r = refuse(ret_reason, -errno, "CA key %s: %s", key_file, strerror(errno));
	} else {
		ca.key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
		BIO_free(bio);
		if (!ca.cert || X509_check_ca(ca.cert) != 1)
			r = refuse(ret_reason, -EINVAL, "CA %s: no certificate of a CA", cert_file);
		else if (!ca.key || X509_check_private_key(ca.cert, ca.key) != 1)
			r = refuse(ret_reason, -EINVAL, "CA key %s: no key of %s", key_file,
				cert_file);
		else if (X509_cmp_current_time(X509_get0_notAfter(ca.cert)) <= 0)
			r = refuse(ret_reason, -EINVAL, "CA %s: has expired", cert_file);
	}
	if (r < 0)
		pki_ca_done(&ca);
	else
		*ret = ca;
	return r;
}

int pki_issue(
	const struct pki_ca *ca, const struct pki_request *q, EVP_PKEY **ret_key, X509 **ret_cert)
{
	const char *usage = q->server_auth && q->client_auth ? "serverAuth,clientAuth"
			    : q->server_auth                 ? "serverAuth"
							     : "clientAuth";
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int ok;

	if (q->to_s <= q->from_s)
		return -EINVAL;
	key = EVP_EC_gen("P-256");
	if (key)
		cert = new_cert(q->common_name, key, ca->cert, q->from_s, q->to_s);
	ok = cert && add_extension(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
	     add_extension(cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
	     (!(q->server_auth || q->client_auth) ||
		     add_extension(cert, ca->cert, NID_ext_key_usage, usage)) &&
	     add_extension(cert, ca->cert, NID_subject_key_identifier, "hash") &&
	     add_extension(cert, ca->cert, NID_authority_key_identifier, "keyid:always") &&
	     add_names(cert, q) && X509_sign(cert, ca->key, EVP_sha256()) > 0;
	if (ok) {
		*ret_key = key;
		*ret_cert = cert;
	} else {
		EVP_PKEY_free(key);
		X509_free(cert);
	}
	return result(ok);
}

static int issue_client(const struct pki_ca *ca, const char *urn, const char *name, unsigned days,
	EVP_PKEY **ret_key, X509 **ret_cert)
{
	char uri[sizeof(TLS_SENSOR_URN) + TLS_NAME_MAX];
	const char *uris[] = {uri, NULL};
	const struct pki_request q = {
		.common_name = name,
		.client_auth = true,
		.uris = uris,
		.from_s = -PKI_BACKDATE_S,
		.to_s = INT64_C(86400) * days,
	};

	if (!tls_sensor_name_valid(name, strlen(name)))
		return -EINVAL;
	(void)snprintf(uri, sizeof(uri), "%s%s", urn, name);
	return pki_issue(ca, &q, ret_key, ret_cert);
}

int pki_issue_sensor(const struct pki_ca *ca, const char *name, unsigned days, EVP_PKEY **ret_key,
	X509 **ret_cert)
{
	return issue_client(ca, TLS_SENSOR_URN, name, days, ret_key, ret_cert);
}

int pki_issue_viewer(const struct pki_ca *ca, const char *name, unsigned days, EVP_PKEY **ret_key,
	X509 **ret_cert)
{
	_Static_assert(
		sizeof(TLS_VIEWER_URN) == sizeof(TLS_SENSOR_URN), "a URN longer than the buffer");
	return issue_client(ca, TLS_VIEWER_URN, name, days, ret_key, ret_cert);
}

int pki_issue_server(const struct pki_ca *ca, const char *const *hosts, unsigned days,
	EVP_PKEY **ret_key, X509 **ret_cert)
{
	const struct pki_request q = {
		.common_name = "hirundo-collector", /* clients look at the alternative names only */
		.server_auth = true,
		.hosts = hosts,
		.from_s = -PKI_BACKDATE_S,
		.to_s = INT64_C(86400) * days,
	};

	return hosts[0] ? pki_issue(ca, &q, ret_key, ret_cert) : -EINVAL;
}

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			p += done;
			n -= (size_t)done;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	AUTO_CLOSE int fd = -1;
	char folder[PATH_MAX] = ".";

	if (slash) /* the caller has checked the length */
		(void)snprintf(folder, sizeof(folder), "%.*s",
			slash == path ? 1 : (int)(slash - path), path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int pki_write_file(const char *path, const void *data, size_t n, mode_t mode, bool replace)
{
	char temporary[PATH_MAX];
	int fd, r;

	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
	if (fd < 0)
		return -errno;
	r = fchmod(fd, mode) < 0 ? -errno : write_all(fd, data, n);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	/* link() never replaces, rename() always does; both are atomic. */
	if (r == 0 && (replace ? rename(temporary, path) : link(temporary, path)) < 0)
		r = -errno;
	if (r < 0 || !replace)
		(void)unlink(temporary);
	return r < 0 ? r : sync_folder_of(path);
}

static int write_bio(const char *path, BIO *bio, int written, mode_t mode, bool replace)
{
	char *data;
	long n = bio ? BIO_get_mem_data(bio, &data) : 0;
	int r = written == 1 && n > 0 ? pki_write_file(path, data, (size_t)n, mode, replace)
				      : result(0);

	BIO_free(bio); /* wipes what it held */
	return r;
}

int pki_write_key(const char *path, EVP_PKEY *key, bool replace)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	int ok = bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;

	return write_bio(path, bio, ok, 0600, replace);
}

int pki_write_cert(const char *path, X509 *cert, bool replace)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int ok = bio && PEM_write_bio_X509(bio, cert) == 1;

	return write_bio(path, bio, ok, 0644, replace);
}

int pki_write_p12(const char *path, const char *pass_phrase, EVP_PKEY *key, X509 *cert,
	const struct pki_ca *ca)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	BIO *bio = BIO_new(BIO_s_mem());
	PKCS12 *p12 = NULL;
	int ok;

	ok = chain && bio && sk_X509_push(chain, ca->cert) > 0;
	if (ok)
		p12 = PKCS12_create(pass_phrase, "Hirundo", key, cert, chain, 0, 0, 0, 0, 0);
	ok = p12 && i2d_PKCS12_bio(bio, p12) == 1;
	PKCS12_free(p12);
	sk_X509_free(chain); /* not what is in it */
	return write_bio(path, bio, ok, 0600, false);
}
