/*
 * A flood from random sources, where nothing folds: SYNs and, every second packet, UDP with random
 * payload.
 *
 *   flood ADDRESS PACKETS RATE > FILE            a capture, RATE packets a second of its time
 *   flood ADDRESS PACKETS INTERFACE MAC          sent as fast as the interface takes them
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <netinet/ether.h>
#include <sys/socket.h>

#include "common/bytes.h"

#define BURST 64u
#define IP 14u /* behind the Ethernet header */
#define UDP_PAYLOAD 48u
#define FRAME_LENGTH(udp) (IP + 20u + ((udp) ? 8u + UDP_PAYLOAD : 24u))

struct frame {
	uint8_t b[FRAME_LENGTH(true)];
	size_t n;
};

static uint64_t next_random(void)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13; /* xorshift64, Marsaglia 2003 */
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* RFC 1071 over n bytes (even), after sum. */
static uint16_t checksum(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i += 2)
		sum += load_be16(p + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void make(struct frame *f, const uint8_t *mac, uint32_t dst, bool udp)
{
	static const uint8_t sender[6] = {2, 0, 0, 0, 0, 1};
	uint8_t *ip = f->b + IP, *l4 = ip + 20;
	uint16_t pseudo;
	size_t l4_n;

	memset(f->b, 0, sizeof(f->b));
	f->n = FRAME_LENGTH(udp);
	l4_n = f->n - IP - 20;
	memcpy(f->b, mac, 6);
	memcpy(f->b + 6, sender, 6);
	store_be16(f->b + 12, 0x0800);
	ip[0] = 0x45;
	store_be16(ip + 2, (uint16_t)(f->n - IP));
	store_be16(ip + 4, (uint16_t)next_random());
	ip[8] = 50;
	ip[9] = udp ? IPPROTO_UDP : IPPROTO_TCP;
	store_be32(ip + 12, (uint32_t)(next_random() % 0xde000000) + 0x01000000);
	store_be32(ip + 16, dst);
	store_be16(ip + 10, checksum(ip, 20, 0));
	store_be16(l4, (uint16_t)(next_random() | 1024));
	store_be16(l4 + 2, udp ? 123 : 23);
	if (udp) {
		store_be16(l4 + 4, (uint16_t)l4_n);
		for (size_t i = 8; i < l4_n; i += 8)
			store_be64(l4 + i, next_random());
	} else {
		store_be32(l4 + 4, (uint32_t)next_random());
		memcpy(l4 + 12, "\x60\x02\x04\x00", 4); /* 24 bytes, SYN, window 1024 */
		memcpy(l4 + 20, "\x02\x04\x05\xb4", 4); /* MSS 1460 */
	}
	pseudo = (uint16_t)~checksum(ip + 12, 8, ip[9] + (uint32_t)l4_n);
	store_be16(l4 + (udp ? 6 : 16), checksum(l4, l4_n, pseudo));
}

static void le32(uint8_t *p, uint32_t v)
{
	store_be32(p, __builtin_bswap32(v));
}

static int write_capture(uint32_t dst, unsigned long n, unsigned long rate)
{
	static const uint8_t mac[6];
	uint8_t head[24] = {0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, [18] = 4, [20] = 1}; /* Ethernet */
	struct frame f;

	(void)fwrite(head, 1, sizeof(head), stdout);
	for (unsigned long i = 0; i < n; i++) {
		make(&f, mac, dst, i % 2);
		le32(head, (uint32_t)(1700000000 + i / rate));
		le32(head + 4, (uint32_t)(i % rate * 1000000 / rate));
		le32(head + 8, (uint32_t)f.n);
		le32(head + 12, (uint32_t)f.n);
		(void)fwrite(head, 1, 16, stdout);
		(void)fwrite(f.b, 1, f.n, stdout);
	}
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}

static int send_burst(int s, uint32_t dst, const uint8_t *mac, unsigned n)
{
	static struct frame frames[BURST];
	struct iovec parts[BURST];
	struct mmsghdr messages[BURST];
	unsigned sent = 0;

	memset(messages, 0, sizeof(messages));
	for (unsigned i = 0; i < n; i++) {
		make(&frames[i], mac, dst, i % 2);
		parts[i] = (struct iovec){frames[i].b, frames[i].n};
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (sent < n) {
		int r = sendmmsg(s, messages + sent, n - sent, 0);

		if (r > 0)
			sent += (unsigned)r;
		else if (errno != ENOBUFS && errno != EINTR)
			return -1;
	}
	return 0;
}

static int send_all(uint32_t dst, unsigned long n, const char *interface, const char *mac_text)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET};
	struct ether_addr mac;
	int s = socket(AF_PACKET, SOCK_RAW, 0);

	to.sll_ifindex = (int)if_nametoindex(interface);
	if (s < 0 || to.sll_ifindex == 0 || bind(s, (struct sockaddr *)&to, sizeof(to)) < 0 ||
		!ether_aton_r(mac_text, &mac)) {
		perror("flood");
		return 1;
	}
	for (unsigned long left = n; left > 0;) {
		unsigned burst = left < BURST ? (unsigned)left : BURST;

		if (send_burst(s, dst, mac.ether_addr_octet, burst) < 0) {
			perror("flood: sendmmsg");
			return 1;
		}
		left -= burst;
	}
	close(s);
	return 0;
}

int main(int argc, char **argv)
{
	struct in_addr dst;

	if (argc < 4 || argc > 5 || inet_pton(AF_INET, argv[1], &dst) != 1) {
		fputs("usage: flood ADDRESS PACKETS RATE > FILE | ADDRESS PACKETS INTERFACE MAC\n",
			stderr);
		return 64;
	}
	if (argc == 4)
		return write_capture(
			ntohl(dst.s_addr), strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
	return send_all(ntohl(dst.s_addr), strtoul(argv[2], NULL, 10), argv[3], argv[4]);
}
