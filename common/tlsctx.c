#include "common/tlsctx.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/** Largest PEM file accepted, bytes: a CRL of some ten thousand entries. */
#define PEM_FILE_MAX (1024 * 1024)
/** Largest certificate list of a peer, bytes; ours are about 1 KB. */
#define CERT_LIST_MAX (16 * 1024)

/** Sets *ret_reason and returns r. Where OpenSSL has an error queued, its text follows. */
static PRINTF_LIKE(3, 4) int refuse(char **ret_reason, int r, const char *fmt, ...)
{
	unsigned long e = ERR_peek_error();
	const char *why = e ? ERR_reason_error_string(e) : NULL;
	AUTO_FREE char *what = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&what, fmt, ap) < 0)
		what = NULL;
	va_end(ap);
	ERR_clear_error();
	if (!what || asprintf(ret_reason, "%s%s%s", what, why ? ": " : "", why ? why : "") < 0)
		*ret_reason = NULL;
	return r;
}

/* A private key that others can read is no longer private. PostgreSQL's rule (libpq, "Client
 * Certificates"): the owner's own file may be read by nobody else; root's may be read by its group
 * (0640), so that a daemon without privileges reads it and cannot replace it. */
static bool key_mode_ok(const struct stat *st)
{
	if (st->st_uid == 0)
		return (st->st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) == 0;
	return st->st_uid == geteuid() && (st->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

static int open_pem(const char *what, const char *file, bool secret, BIO **ret, char **ret_reason)
{
	AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char chunk[4096];
	ssize_t n;
	BIO *bio;

	if (fd < 0 || fstat(fd, &st) < 0) {
		int r = -errno;

		return refuse(ret_reason, r, "%s %s: %s", what, file, strerror(-r));
	}
	if (!S_ISREG(st.st_mode) || st.st_size > PEM_FILE_MAX)
		return refuse(ret_reason, -EINVAL, "%s %s: no file of at most 1 MiB", what, file);
	if (secret && !key_mode_ok(&st))
		return refuse(ret_reason, -EACCES,
			"%s %s: others can read or replace it; wanted: mode 0600, or 0640 and "
			"owned by root",
			what, file);
	bio = BIO_new(BIO_s_mem());
	while (bio && (n = read(fd, chunk, sizeof(chunk))) > 0)
		if (BIO_write(bio, chunk, (int)n) != n) {
			BIO_free(bio);
			bio = NULL;
		}
	OPENSSL_cleanse(chunk, sizeof(chunk));
	if (!bio)
		return refuse(ret_reason, -ENOMEM, "%s %s: out of memory", what, file);
	*ret = bio;
	return 0;
}

/* The end of a PEM file is an error in OpenSSL's eyes. @return whether that is what happened */
static bool pem_ended(void)
{
	unsigned long e = ERR_peek_last_error();

	if (ERR_GET_LIB(e) != ERR_LIB_PEM || ERR_GET_REASON(e) != PEM_R_NO_START_LINE)
		return false;
	ERR_clear_error();
	return true;
}

/* Without this OpenSSL would ask for a pass phrase on the terminal. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

static int load_ca(SSL_CTX *ctx, const char *file, char **ret_reason)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	unsigned n = 0;
	X509 *cert;
	BIO *bio = NULL;
	int r;

	r = open_pem("CA", file, false, &bio, ret_reason);
	if (r < 0)
		return r;
	while (r == 0 && (cert = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
		if (X509_check_ca(cert) == 0)
			r = refuse(ret_reason, -EINVAL, "CA %s: holds a certificate that is no CA",
				file);
		else if (X509_STORE_add_cert(store, cert) != 1)
			r = refuse(ret_reason, -EINVAL, "CA %s", file);
		X509_free(cert);
		n++;
	}
	if (r == 0 && (!pem_ended() || n == 0))
		r = refuse(ret_reason, -EINVAL, "CA %s: no PEM certificate", file);
	BIO_free(bio);
	return r;
}

static int load_crl(SSL_CTX *ctx, const char *file, char **ret_reason)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	unsigned n = 0;
	X509_CRL *crl;
	BIO *bio;
	int r;

	r = open_pem("CRL", file, false, &bio, ret_reason);
	if (r < 0)
		return r;
	while (r == 0 && (crl = PEM_read_bio_X509_CRL(bio, NULL, no_password, NULL))) {
		if (X509_STORE_add_crl(store, crl) != 1)
			r = refuse(ret_reason, -EINVAL, "CRL %s", file);
		X509_CRL_free(crl);
		n++;
	}
	if (r == 0 && (!pem_ended() || n == 0))
		r = refuse(ret_reason, -EINVAL, "CRL %s: no PEM revocation list", file);
	/* From here on a missing or expired list refuses every peer. */
	if (r == 0 && X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) != 1)
		r = refuse(ret_reason, -EINVAL, "CRL %s", file);
	BIO_free(bio);
	return r;
}

/* What the peer would refuse is said here, where the file's name is known. */
static int check_own(X509 *cert, const char *file, bool server, char **ret_reason)
{
	uint32_t wanted = server ? XKU_SSL_SERVER : XKU_SSL_CLIENT;

	if (!(X509_get_extension_flags(cert) & EXFLAG_XKUSAGE) ||
		!(X509_get_extended_key_usage(cert) & wanted))
		return refuse(ret_reason, -EINVAL, "certificate %s: extended key usage lacks %s",
			file, server ? "serverAuth" : "clientAuth");
	if (X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0)
		return refuse(ret_reason, -EINVAL, "certificate %s: not yet valid", file);
	if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
		return refuse(ret_reason, -EINVAL, "certificate %s: has expired", file);
	return 0;
}

static int load_cert(SSL_CTX *ctx, const struct tlsctx_options *o, char **ret_reason)
{
	X509 *cert, *chain;
	BIO *bio;
	int r;

	r = open_pem("certificate", o->cert_file, false, &bio, ret_reason);
	if (r < 0)
		return r;
	cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
	if (!cert) {
		ERR_clear_error();
		r = refuse(ret_reason, -EINVAL, "certificate %s: no PEM certificate", o->cert_file);
	} else {
		r = check_own(cert, o->cert_file, o->server, ret_reason);
		if (r == 0 && SSL_CTX_use_certificate(ctx, cert) != 1)
			r = refuse(ret_reason, -EINVAL, "certificate %s", o->cert_file);
	}
	while (r == 0 && (chain = PEM_read_bio_X509(bio, NULL, no_password, NULL)))
		if (SSL_CTX_add0_chain_cert(ctx, chain) != 1) {
			X509_free(chain);
			r = refuse(ret_reason, -EINVAL, "certificate %s: chain", o->cert_file);
		}
	if (r == 0 && !pem_ended())
		r = refuse(ret_reason, -EINVAL, "certificate %s: chain", o->cert_file);
	X509_free(cert);
	BIO_free(bio);
	return r;
}

static int load_key(SSL_CTX *ctx, const struct tlsctx_options *o, char **ret_reason)
{
	EVP_PKEY *key;
	BIO *bio;
	int r;

	r = open_pem("key", o->key_file, true, &bio, ret_reason);
	if (r < 0)
		return r;
	key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	if (!key) {
		ERR_clear_error(); /* its text is of decoders, and of no help */
		r = refuse(ret_reason, -EINVAL, "key %s: no PEM private key without pass phrase",
			o->key_file);
	} else if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
		ERR_clear_error();
		r = refuse(ret_reason, -EINVAL, "key %s: does not belong to certificate %s",
			o->key_file, o->cert_file);
	}
	EVP_PKEY_free(key);
	BIO_free(bio);
	return r;
}

static bool set_policy(SSL_CTX *ctx, bool server)
{
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
					      "TLS_AES_128_GCM_SHA256") != 1 ||
		SSL_CTX_set1_groups_list(ctx, "X25519:P-256") != 1)
		return false;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_verify_depth(ctx, 2);
	/* The peer's side: a server verifies clients. */
	if (SSL_CTX_set_purpose(ctx, server ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER) !=
		1)
		return false;
	/* Resumption would skip the checks of certificate and CRL. In TLS 1.3 NO_TICKET alone still
	 * sends stateful tickets (openssl#6391, #8077), so all three. */
	if (SSL_CTX_set_num_tickets(ctx, 0) != 1 || SSL_CTX_set_max_early_data(ctx, 0) != 1)
		return false;
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_options(
		ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	(void)SSL_CTX_set_max_cert_list(ctx, CERT_LIST_MAX);
	/* An idle connection keeps no record buffers; see tlschan for the two write modes. */
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_default_passwd_cb(ctx, no_password);
	return true;
}

int tlsctx_new(const struct tlsctx_options *o, SSL_CTX **ret, char **ret_reason)
{
	SSL_CTX *ctx;
	int r = 0;

	ERR_clear_error();
	ctx = SSL_CTX_new(o->server ? TLS_server_method() : TLS_client_method());
	if (!ctx)
		return refuse(ret_reason, -ENOMEM, "TLS context");
	if (!set_policy(ctx, o->server))
		r = refuse(ret_reason, -EINVAL, "TLS settings");
	if (r == 0)
		r = load_ca(ctx, o->ca_file, ret_reason);
	if (r == 0)
		r = load_cert(ctx, o, ret_reason);
	if (r == 0)
		r = load_key(ctx, o, ret_reason);
	if (r == 0 && o->crl_file)
		r = load_crl(ctx, o->crl_file, ret_reason);
	if (r < 0)
		SSL_CTX_free(ctx);
	else
		*ret = ctx;
	return r;
}

bool tls_sensor_name_valid(const char *s, size_t n)
{
	if (n == 0 || n > TLS_NAME_MAX || s[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '-'))
			return false;
	return true;
}

static enum tls_peer_res name_of_uri(
	const ASN1_IA5STRING *uri, const char *urn, char ret_name[TLS_NAME_MAX + 1])
{
	const char *s = (const char *)ASN1_STRING_get0_data(uri);
	size_t n = (size_t)ASN1_STRING_length(uri);
	const size_t prefix = strlen(urn);

	if (n < prefix || memcmp(s, urn, prefix) != 0 ||
		!tls_sensor_name_valid(s + prefix, n - prefix))
		return TLS_PEER_FOREIGN;
	memcpy(ret_name, s + prefix, n - prefix);
	ret_name[n - prefix] = '\0';
	return TLS_PEER_OK;
}

static enum tls_peer_res cert_name(
	const X509 *cert, const char *urn, char ret_name[TLS_NAME_MAX + 1])
{
	const ASN1_IA5STRING *uri = NULL;
	enum tls_peer_res r;
	GENERAL_NAMES *names;
	int uris = 0;

	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_URI) {
			uri = name->d.uniformResourceIdentifier;
			uris++;
		}
	}
	if (uris == 1)
		r = name_of_uri(uri, urn, ret_name);
	else
		r = uris == 0 ? TLS_PEER_NO_URI : TLS_PEER_MANY_URI;
	GENERAL_NAMES_free(names);
	return r;
}

enum tls_peer_res tls_cert_sensor(const X509 *cert, char ret_name[TLS_NAME_MAX + 1])
{
	return cert_name(cert, TLS_SENSOR_URN, ret_name);
}

enum tls_peer_res tls_cert_viewer(const X509 *cert, char ret_name[TLS_NAME_MAX + 1])
{
	return cert_name(cert, TLS_VIEWER_URN, ret_name);
}

enum tls_peer_res tls_peer_sensor(const SSL *ssl, char ret_name[TLS_NAME_MAX + 1])
{
	const X509 *cert = SSL_get0_peer_certificate(ssl);

	if (!cert || SSL_get_verify_result(ssl) != X509_V_OK)
		return TLS_PEER_NO_CERT;
	return tls_cert_sensor(cert, ret_name);
}

const char *tls_peer_res_str(enum tls_peer_res r)
{
	switch (r) {
	case TLS_PEER_OK: return "ok";
	case TLS_PEER_NO_CERT: return "no certificate";
	case TLS_PEER_NO_URI: return "certificate without URI name";
	case TLS_PEER_MANY_URI: return "certificate with more than one URI name";
	case TLS_PEER_FOREIGN: return "certificate is not a sensor's";
	}
	return "unknown";
}
