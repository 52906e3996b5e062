#include "common/tlschan.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/tlsctx.h"

/** Bytes that the BIO pair holds each way: one full TLS record, 16,384 + 256 + 5 bytes (RFC
 * 8446 5.2). Half of it halves the rate of a bulk transfer, four times as much adds 7 %
 *  (tests/bench/bench_tlschan.c). */
#define BIO_BYTES (17u * 1024u)
/** Plaintext queue: a write is refused above HIGH, on_writable comes below LOW. One write of up to
 *  WRITE_MAX is taken by an empty queue, so that any frame fits. */
#define QUEUE_HIGH (256u * 1024u)
#define QUEUE_LOW (64u * 1024u)
#define WRITE_MAX (1024u * 1024u)
/** Plaintext handed over at once, bytes: the largest TLS record. */
#define READ_BYTES 16384u

/** How long a close may take: sending what is queued, and then waiting for the peer's close_notify.
 */
#define CLOSE_FLUSH_MS 30000u
#define CLOSE_WAIT_MS 5000u
/** How long a connection that failed lingers, so that our alert is read and not overtaken by a
 * reset. */
#define LINGER_MS 1000u

/** KeyUpdates that a peer may send: a few at once, and one each 64 KiB. Each costs us a key
 * schedule and an answer; OpenSSL itself sets no bound. */
#define KEY_UPDATE_BURST 16u
#define KEY_UPDATE_BYTES 65536u

enum state {
	HANDSHAKE,
	OPEN,
	CLOSING, /* flush, close_notify, FIN, wait for the peer's close_notify; input is dropped */
	LINGER, /* TLS has failed: send the alert that it left, FIN, drop raw input until the end */
	CLOSED, /* handles are closing */
};

struct tlschan {
	uv_tcp_t *tcp;
	uv_timer_t timer; /* HANDSHAKE, CLOSING, LINGER: the deadline. OPEN: resume, or a broken
			     write */
	uv_write_t write_req;
	uv_shutdown_t shutdown_req;
	unsigned handles; /* not yet closed */
	SSL *ssl;
	BIO *net; /* our end of the pair; SSL owns the other */
	struct tlschan_callbacks cb;
	void *arg;

	enum state state;
	bool running; /* inside advance() */
	bool reading; /* uv_read_start is on */
	bool paused; /* the consumer wants no plaintext */
	bool eof; /* the peer sent FIN */
	bool want_writable; /* a write was refused */
	bool notify_sent; /* our close_notify */
	bool fin_sent;
	bool flooded; /* too many KeyUpdates */
	bool distrusted; /* a certificate was not accepted, the peer's or ours */
	size_t writing; /* bytes of the pair that write_req holds; 0 = it is free */
	int write_error; /* the socket takes no more; what it still has to say is read first */

	struct buf queue; /* plaintext to send; holds no memory while empty */
	struct buf rest; /* plaintext that the consumer left */
	uint64_t sent, received;
	unsigned key_updates;
	struct sockaddr_storage peer;
	char claimed[TLS_NAME_MAX + 1]; /* sensor's name in a certificate that was not accepted */
	char reason[128];
};

static void advance(struct tlschan *c);

static void set_reason(struct tlschan *c, const char *reason)
{
	if (c->reason[0] == '\0')
		(void)snprintf(c->reason, sizeof(c->reason), "%s", reason);
}

static void free_channel(struct tlschan *c)
{
	SSL_free(c->ssl);
	BIO_free(c->net);
	buf_done(&c->queue);
	buf_done(&c->rest);
	free(c->tcp);
	free(c);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct tlschan *c = handle->data;

	if (--c->handles > 0)
		return;
	c->cb.on_closed(c, c->arg, c->reason);
	free_channel(c);
}

/* The end of every way. A pending uv_write is cancelled by libuv before the close callback. */
static void finish(struct tlschan *c)
{
	if (c->state == CLOSED)
		return;
	c->state = CLOSED;
	uv_close((uv_handle_t *)c->tcp, on_handle_closed);
	uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

static void on_deadline(uv_timer_t *timer)
{
	struct tlschan *c = timer->data;

	if (c->state == HANDSHAKE)
		set_reason(c, "handshake timeout");
	finish(c);
}

static void on_broken(uv_timer_t *timer)
{
	struct tlschan *c = timer->data;

	set_reason(c, uv_strerror(c->write_error));
	finish(c);
}

static void on_resume(uv_timer_t *timer)
{
	advance(timer->data);
}

static void start_timer(struct tlschan *c, uv_timer_cb cb, uint64_t ms)
{
	(void)uv_timer_start(&c->timer, cb, ms, 0); /* fails only without a callback */
}

/* TLS has failed, or the peer speaks something else. What is left in the pair (the alert) goes out.
 */
static void fail_tls(struct tlschan *c, const char *reason)
{
	set_reason(c, reason);
	if (c->state == CLOSED || c->state == LINGER)
		return;
	if (c->eof || c->write_error || BIO_ctrl_pending(c->net) == 0) {
		finish(c);
		return;
	}
	c->state = LINGER;
	start_timer(c, on_deadline, LINGER_MS);
}

/* The socket has failed. In a write the cause (an alert, say) may still wait to be read: RFC 8446
 * lets a server refuse a client after the client has begun to send. */
static void fail_socket(struct tlschan *c, int error, bool in_write)
{
	if (!in_write || c->paused || (c->state != OPEN && c->state != HANDSHAKE)) {
		set_reason(c, uv_strerror(error));
		finish(c);
	} else if (c->write_error == 0) {
		c->write_error = error;
		start_timer(c, on_broken, LINGER_MS);
	}
}

static void start_closing(struct tlschan *c, const char *reason)
{
	set_reason(c, reason);
	c->state = CLOSING;
	c->paused = false;
	buf_done(&c->rest);
	if (c->write_error)
		finish(c);
	else
		start_timer(c, on_deadline, CLOSE_FLUSH_MS);
}

/* Alerts by which a peer refuses our certificate, or that we show none (RFC 8446, 6.2). */
static bool is_distrust(int alert)
{
	return (alert >= SSL_AD_BAD_CERTIFICATE && alert <= SSL_AD_CERTIFICATE_UNKNOWN) ||
	       alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_ACCESS_DENIED ||
	       alert == SSL_AD_CERTIFICATE_REQUIRED;
}

/* Text for what SSL_get_error() calls SSL_ERROR_SSL. */
static void fail_ssl(struct tlschan *c)
{
	unsigned long e = ERR_peek_error();
	int why = ERR_GET_LIB(e) == ERR_LIB_SSL ? ERR_GET_REASON(e) : 0;
	const char *text = ERR_reason_error_string(e), *alert;
	char refused[96], verdict[128];

	if (why == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		c->distrusted = true;
		text = X509_verify_cert_error_string(SSL_get_verify_result(c->ssl));
		if (c->claimed[0]) {
			(void)snprintf(verdict, sizeof(verdict), "%.50s (of %s)", text, c->claimed);
			text = verdict;
		}
	} else if (why == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
		c->distrusted = true;
		text = "no certificate";
	} else if (why == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		text = c->state == HANDSHAKE ? "end of stream in the handshake"
					     : "end of stream without close_notify";
	} else if (why > SSL_AD_REASON_OFFSET) {
		/* "tlsv1 alert unknown ca": the part behind "alert" is the name in RFC 8446, 6. */
		c->distrusted = is_distrust(why - SSL_AD_REASON_OFFSET);
		alert = text ? strstr(text, "alert ") : NULL;
		(void)snprintf(refused, sizeof(refused), "refused by peer: %s",
			alert ? alert + sizeof("alert ") - 1 : "unknown alert");
		text = refused;
	}
	fail_tls(c, text ? text : "TLS error");
	ERR_clear_error();
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
	(void)req;
	(void)status;
}

static void on_written(uv_write_t *req, int status)
{
	struct tlschan *c = req->data;
	char *p;

	if (c->state == CLOSED) /* the pair goes with the channel */
		return;
	if (status == 0) {
		(void)BIO_nread(c->net, &p, (int)c->writing);
		c->sent += c->writing;
	}
	c->writing = 0;
	if (status < 0)
		fail_socket(c, status, true);
	advance(c);
}

/* Pair -> socket, without a copy: the pair's bytes stay where they are until they are consumed. */
static void flush(struct tlschan *c)
{
	char *p;
	int n;

	while (c->state != CLOSED && c->writing == 0 && !c->fin_sent && c->write_error == 0 &&
		(n = BIO_nread0(c->net, &p)) > 0) {
		uv_buf_t b = uv_buf_init(p, (unsigned)n);
		int r = uv_try_write((uv_stream_t *)c->tcp, &b, 1);

		if (r == UV_EAGAIN) {
			c->write_req.data = c;
			c->writing = (size_t)n;
			r = uv_write(&c->write_req, (uv_stream_t *)c->tcp, &b, 1, on_written);
			if (r < 0)
				c->writing = 0;
		} else if (r >= 0) {
			(void)BIO_nread(c->net, &p, r);
			c->sent += (unsigned)r;
		}
		if (r < 0)
			fail_socket(c, r, true);
	}
}

static bool flushed(const struct tlschan *c)
{
	return c->writing == 0 && BIO_ctrl_pending(c->net) == 0;
}

static void send_fin(struct tlschan *c)
{
	if (c->fin_sent || c->state == CLOSED)
		return;
	c->fin_sent = true;
	if (uv_shutdown(&c->shutdown_req, (uv_stream_t *)c->tcp, on_shutdown) < 0)
		finish(c);
}

/* Queue -> TLS -> socket, until the queue is empty or the socket is full. */
static void write_out(struct tlschan *c)
{
	flush(c);
	while ((c->state == OPEN || c->state == CLOSING) && c->writing == 0 &&
		c->write_error == 0 && buf_len(&c->queue) > 0) {
		size_t n;
		int ok;

		ERR_clear_error();
		ok = SSL_write_ex(c->ssl, buf_head(&c->queue), buf_len(&c->queue), &n);
		if (ok == 1) {
			buf_consume(&c->queue, n);
		} else if (SSL_get_error(c->ssl, ok) != SSL_ERROR_WANT_WRITE) {
			fail_ssl(c);
		}
		flush(c);
	}
	if (buf_len(&c->queue) == 0)
		buf_done(&c->queue);
}

/* Hands plaintext to the consumer. @return whether it wants more */
static bool deliver(struct tlschan *c, const uint8_t *p, size_t n)
{
	size_t used;

	if (c->state != OPEN)
		return true; /* closing: nobody listens */
	used = c->cb.on_data(c, c->arg, p, n);
	assert(used <= n);
	if (used == n || c->state != OPEN)
		return !c->paused;
	c->paused = true;
	if (buf_add(&c->rest, p + used, n - used) < 0) {
		set_reason(c, "out of memory");
		finish(c);
	}
	return false;
}

static bool deliver_rest(struct tlschan *c)
{
	struct buf rest = c->rest;
	bool more;

	if (buf_len(&rest) == 0)
		return true;
	buf_init(&c->rest, READ_BYTES);
	more = deliver(c, buf_head(&rest), buf_len(&rest));
	buf_done(&rest);
	return more;
}

/* Socket -> TLS -> consumer. What is left inside TLS raises no event, so until it wants more. */
static void read_in(struct tlschan *c)
{
	uint8_t plain[READ_BYTES];
	size_t n;
	int ok;

	if (c->paused || !deliver_rest(c))
		return;
	while (c->state == OPEN || c->state == CLOSING) {
		ERR_clear_error();
		ok = SSL_read_ex(c->ssl, plain, sizeof(plain), &n);
		if (c->flooded) {
			set_reason(c, "too many KeyUpdates");
			finish(c);
			break;
		}
		if (ok != 1) {
			int e = SSL_get_error(c->ssl, ok);

			if (e == SSL_ERROR_SSL || e == SSL_ERROR_SYSCALL) {
				fail_ssl(c);
			} else if (e == SSL_ERROR_ZERO_RETURN && c->state == OPEN) {
				start_closing(
					c, "closed by peer"); /* what is queued still goes out */
			} else if (e == SSL_ERROR_WANT_WRITE) {
				flush(c); /* an answer to a KeyUpdate; without room: on_written
					     continues */
				if (c->writing == 0 && c->write_error == 0)
					continue;
			}
			break;
		}
		flush(c);
		if (!deliver(c, plain, n))
			break;
	}
}

static void do_handshake(struct tlschan *c)
{
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(c->ssl);
	if (r != 1) {
		r = SSL_get_error(c->ssl, r);
		if (r != SSL_ERROR_WANT_READ && r != SSL_ERROR_WANT_WRITE)
			fail_ssl(c);
		flush(c);
		return;
	}
	flush(c);
	if (c->state != HANDSHAKE)
		return;
	c->state = OPEN;
	if (c->write_error == 0)
		(void)uv_timer_stop(&c->timer);
	c->cb.on_ready(c, c->arg);
}

/* Steps of CLOSING and LINGER, each when the one before is done. */
static void close_out(struct tlschan *c)
{
	if (c->state == CLOSING && !c->notify_sent && buf_len(&c->queue) == 0 && flushed(c)) {
		ERR_clear_error();
		(void)SSL_shutdown(c->ssl); /* the pair is empty: there is room */
		c->notify_sent = true;
		start_timer(c, on_deadline, CLOSE_WAIT_MS);
		flush(c);
	}
	if ((c->notify_sent || c->state == LINGER) && flushed(c))
		send_fin(c);
	if (c->fin_sent && (c->eof || (c->state == CLOSING &&
					      (SSL_get_shutdown(c->ssl) & SSL_RECEIVED_SHUTDOWN))))
		finish(c);
}

/* Straight into the pair. In LINGER the same room is used again and again: nothing is committed. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *b)
{
	struct tlschan *c = handle->data;
	char *p;
	int n;

	(void)suggested;
	n = BIO_nwrite0(c->net, &p);
	*b = uv_buf_init(p, n > 0 ? (unsigned)n : 0);
}

/* The first two bytes of TLS: a handshake or alert record, version 3.x (RFC 8446, 5.1). */
static bool looks_like_tls(const struct tlschan *c, const char *p, size_t n)
{
	for (size_t i = 0; i < n && c->received + i < 2; i++)
		if (c->received + i == 0 ? p[i] != 0x16 && p[i] != 0x15 : p[i] != 0x03)
			return false;
	return true;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
	struct tlschan *c = stream->data;
	char *p;

	if (n == 0 || c->state == CLOSED)
		return;
	if (n == UV_EOF) {
		c->eof = true;
		(void)BIO_shutdown_wr(c->net);
	} else if (n < 0) {
		fail_socket(c, (int)n, false);
		return;
	} else if (c->state != LINGER) {
		if (!looks_like_tls(c, b->base, (size_t)n)) {
			set_reason(c, "not TLS");
			finish(c);
			return;
		}
		c->received += (size_t)n;
		(void)BIO_nwrite(c->net, &p, (int)n);
	}
	advance(c);
}

static void update_reading(struct tlschan *c)
{
	bool want = c->state != CLOSED && !(c->paused && c->state == OPEN) && !c->eof;

	if (c->state == LINGER)
		(void)BIO_reset(c->net); /* empties what the peer sent: room to drop more */
	if (want && BIO_ctrl_get_write_guarantee(c->net) == 0)
		want = false; /* TLS waits for room to write; on_written goes on */
	if (want == c->reading || c->state == CLOSED)
		return;
	c->reading = want;
	if (!want) {
		(void)uv_read_stop((uv_stream_t *)c->tcp);
		return;
	}
	if (uv_read_start((uv_stream_t *)c->tcp, on_alloc, on_read) < 0) {
		set_reason(c, "cannot read");
		finish(c);
	}
}

/* Does whatever can be done now. Callbacks may call back in: those calls only leave a mark. */
static void advance(struct tlschan *c)
{
	if (c->running || c->state == CLOSED)
		return;
	c->running = true;
	if (c->state == HANDSHAKE)
		do_handshake(c);
	write_out(c);
	read_in(c);
	write_out(c);
	if (c->state == OPEN && c->want_writable && buf_len(&c->queue) < QUEUE_LOW) {
		c->want_writable = false;
		c->cb.on_writable(c, c->arg);
	}
	close_out(c);
	c->running = false;
	update_reading(c);
}

static void on_message(
	int write_p, int version, int type, const void *buf, size_t n, SSL *ssl, void *arg)
{
	struct tlschan *c = arg;

	(void)version;
	(void)ssl;
	if (write_p || type != SSL3_RT_HANDSHAKE || n == 0 ||
		*(const uint8_t *)buf != SSL3_MT_KEY_UPDATE)
		return;
	c->key_updates++;
	if (c->key_updates > KEY_UPDATE_BURST + c->received / KEY_UPDATE_BYTES)
		c->flooded = true;
}

/* OpenSSL forgets a certificate that it refuses; whose it is has to be noted here. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tlschan *c = SSL_get_app_data(ssl);

	if (!ok && tls_cert_sensor(X509_STORE_CTX_get0_cert(store), c->claimed) != TLS_PEER_OK)
		c->claimed[0] = '\0';
	return ok;
}

/* An address must stand in the certificate as an address, a name as a name. */
static bool set_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	X509_VERIFY_PARAM_set_hostflags(
		param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return true;
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
	       SSL_set_tlsext_host_name(ssl, host) == 1;
}

static int init_tls(struct tlschan *c, SSL_CTX *ctx, const char *host)
{
	BIO *inner;

	ERR_clear_error();
	c->ssl = SSL_new(ctx);
	if (!c->ssl || BIO_new_bio_pair(&inner, BIO_BYTES, &c->net, BIO_BYTES) != 1)
		return -ENOMEM;
	SSL_set_bio(c->ssl, inner, inner);
	SSL_set_msg_callback(c->ssl, on_message);
	SSL_set_msg_callback_arg(c->ssl, c);
	(void)SSL_set_app_data(c->ssl, c);
	SSL_set_verify(c->ssl, SSL_get_verify_mode(c->ssl), on_verify);
	if (!host) {
		SSL_set_accept_state(c->ssl);
		return 0;
	}
	SSL_set_connect_state(c->ssl);
	return set_host(c->ssl, host) ? 0 : -EINVAL;
}

static void free_tcp(uv_handle_t *handle)
{
	free(handle);
}

int tlschan_new(uv_tcp_t *tcp, SSL_CTX *ctx, const char *host, unsigned handshake_ms,
	const struct tlschan_callbacks *cb, void *arg, struct tlschan **ret)
{
	struct tlschan *c = calloc(1, sizeof(*c));
	int n = sizeof(c->peer), r = -ENOMEM;

	if (!c)
		goto fail;
	c->cb = *cb;
	c->arg = arg;
	buf_init(&c->queue, WRITE_MAX + QUEUE_HIGH);
	buf_init(&c->rest, READ_BYTES);
	r = init_tls(c, ctx, host);
	if (r < 0)
		goto fail;
	r = uv_tcp_getpeername(tcp, (struct sockaddr *)&c->peer, &n);
	if (r < 0)
		goto fail;
	(void)uv_tcp_nodelay(tcp, 1); /* frames and their answers are whole: nothing to wait for */
	c->tcp = tcp;
	tcp->data = c;
	(void)uv_timer_init(tcp->loop, &c->timer); /* cannot fail */
	c->timer.data = c;
	c->handles = 2;
	start_timer(c, on_deadline, handshake_ms);
	*ret = c;
	advance(c); /* a client speaks first; nothing calls back before the loop runs */
	return 0;
fail:
	if (c)
		free_channel(c);
	uv_close((uv_handle_t *)tcp, free_tcp);
	return r;
}

bool tlschan_write(struct tlschan *c, const void *p, size_t n)
{
	size_t queued = buf_len(&c->queue);

	if (c->state != HANDSHAKE && c->state != OPEN)
		return false;
	assert(n <= WRITE_MAX);
	if (queued > 0 && queued + n > QUEUE_HIGH) {
		c->want_writable = true;
		return false;
	}
	if (buf_add(&c->queue, p, n) < 0) {
		tlschan_abort(c, "out of memory");
		return false;
	}
	if (!c->running)
		advance(c);
	else if (c->state == OPEN)
		write_out(c);
	return true;
}

void tlschan_pause(struct tlschan *c)
{
	if (c->state != OPEN && c->state != HANDSHAKE)
		return;
	c->paused = true;
	if (!c->running)
		update_reading(c);
}

void tlschan_read_more(struct tlschan *c)
{
	if (!c->paused)
		return;
	c->paused = false;
	/* From the loop, so that the caller is not called back inside its call. */
	if (c->state == OPEN && c->write_error == 0)
		start_timer(c, on_resume, 0);
}

void tlschan_close(struct tlschan *c, const char *reason)
{
	if (c->state == HANDSHAKE) {
		tlschan_abort(c, reason);
	} else if (c->state == OPEN) {
		start_closing(c, reason);
		advance(c);
	}
}

void tlschan_abort(struct tlschan *c, const char *reason)
{
	set_reason(c, reason);
	finish(c);
}

SSL *tlschan_ssl(struct tlschan *c)
{
	return c->ssl;
}

bool tlschan_distrusted(const struct tlschan *c)
{
	return c->distrusted;
}

int tlschan_peer(const struct tlschan *c, char *buf, size_t n)
{
	const struct sockaddr *sa = (const struct sockaddr *)&c->peer;

	if (sa->sa_family == AF_INET6)
		return uv_ip6_name((const struct sockaddr_in6 *)sa, buf, n);
	return uv_ip4_name((const struct sockaddr_in *)sa, buf, n);
}

uint64_t tlschan_bytes_sent(const struct tlschan *c)
{
	return c->sent;
}

uint64_t tlschan_bytes_received(const struct tlschan *c)
{
	return c->received;
}
