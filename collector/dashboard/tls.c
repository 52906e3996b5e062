#include "collector/dashboard/tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"

struct tls {
	unsigned refs;
	SSL_CTX *ctx; /* the policy: its store judges certificates; it makes no connection */
	gnutls_certificate_credentials_t credentials;
};

/* The peer's certificate as OpenSSL has it. @return NULL: none, or no certificate */
static X509 *peer_certificate(gnutls_session_t session, STACK_OF(X509) * chain)
{
	unsigned n = 0;
	const gnutls_datum_t *list = gnutls_certificate_get_peers(session, &n);
	X509 *leaf = NULL;

	for (unsigned i = 0; list && i < n; i++) {
		const unsigned char *der = list[i].data;
		X509 *cert = d2i_X509(NULL, &der, (long)list[i].size);

		if (i == 0)
			leaf = cert;
		else if (cert && (!chain || sk_X509_push(chain, cert) <= 0))
			X509_free(cert);
	}
	return leaf;
}

/* @return 0, or an X509_V_ERR_ */
static int verify_chain(SSL_CTX *ctx, X509 *leaf, STACK_OF(X509) * chain)
{
	X509_STORE_CTX *v = X509_STORE_CTX_new();
	int r = X509_V_ERR_OUT_OF_MEM;

	if (v && X509_STORE_CTX_init(v, SSL_CTX_get_cert_store(ctx), leaf, chain) == 1 &&
		X509_STORE_CTX_set_default(v, "ssl_client") == 1)
		r = X509_verify_cert(v) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(v);
	X509_STORE_CTX_free(v);
	return r;
}

/* Within the handshake: who is no viewer gets no further. @return 0 to go on */
static int on_verify(gnutls_session_t session)
{
	static struct log_limit limit;
	struct tls *t = gnutls_session_get_ptr(session);
	STACK_OF(X509) *chain = sk_X509_new_null();
	X509 *leaf = peer_certificate(session, chain);
	char name[TLS_NAME_MAX + 1];
	const char *why = NULL;
	int r;

	if (!leaf) {
		why = "no certificate";
	} else {
		r = verify_chain(t->ctx, leaf, chain);
		if (r != X509_V_OK)
			why = X509_verify_cert_error_string(r);
		else if (tls_cert_viewer(leaf, name) != TLS_PEER_OK)
			why = "not a viewer's certificate";
	}
	if (why && log_limit_pass(&limit, 1000000, NULL))
		log_info("tls", "state=refused reason=%s", log_quote(why));
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return why ? GNUTLS_E_CERTIFICATE_ERROR : 0;
}

static int load_credentials(const struct tlsctx_options *o, struct tls *t, char **ret_reason)
{
	int r = gnutls_certificate_allocate_credentials(&t->credentials);

	if (r == 0)
		r = gnutls_certificate_set_x509_key_file(
			t->credentials, o->cert_file, o->key_file, GNUTLS_X509_FMT_PEM);
	/* So that browsers are told which of their certificates is meant. */
	if (r >= 0)
		r = gnutls_certificate_set_x509_trust_file(
			t->credentials, o->ca_file, GNUTLS_X509_FMT_PEM);
	if (r < 0) {
		if (asprintf(ret_reason, "certificate %s: %s", o->cert_file, gnutls_strerror(r)) <
			0)
			*ret_reason = NULL;
		return -EINVAL;
	}
	gnutls_certificate_set_verify_function(t->credentials, on_verify);
	return 0;
}

int tls_new(const struct tlsctx_options *o, struct tls **ret, char **ret_reason)
{
	struct tls *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->refs = 1;
	r = tlsctx_new(o, &t->ctx, ret_reason);
	if (r == 0)
		r = load_credentials(o, t, ret_reason);
	if (r < 0)
		tls_unref(t);
	else
		*ret = t;
	return r;
}

void tls_unref(struct tls *t)
{
	if (!t || --t->refs > 0)
		return;
	if (t->credentials)
		gnutls_certificate_free_credentials(t->credentials);
	SSL_CTX_free(t->ctx);
	free(t);
}

struct tls *tls_accept(struct tls *t, gnutls_session_t session)
{
	t->refs++;
	gnutls_session_set_ptr(session, t);
	(void)gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, t->credentials);
	gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
	return t;
}

bool tls_viewer(gnutls_session_t session, char ret_name[TLS_NAME_MAX + 1])
{
	X509 *leaf = peer_certificate(session, NULL);
	bool ok = leaf && tls_cert_viewer(leaf, ret_name) == TLS_PEER_OK;

	X509_free(leaf);
	return ok;
}

int tls_no_certificate(gnutls_session_t session, const gnutls_datum_t *ca, int ca_n,
	const gnutls_pk_algorithm_t *algorithms, int algorithms_n, gnutls_pcert_st **ret,
	unsigned *ret_n, gnutls_privkey_t *ret_key)
{
	(void)session;
	(void)ca;
	(void)ca_n;
	(void)algorithms;
	(void)algorithms_n;
	(void)ret;
	(void)ret_n;
	(void)ret_key;
	return -1;
}
