/* First byte: link type; second: how much more the wire had; the rest: a frame. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/dlt.h>

#include "common/mem.h"
#include "proto/observation.h"
#include "sensor/classify.h"
#include "sensor/parse.h"
#include "sensor/print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const int links[] = {DLT_EN10MB, DLT_RAW, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL,
		DLT_LOOP, DLT_PPP, DLT_PPP_WITH_DIR, DLT_PPP_ETHER, DLT_C_HDLC, DLT_FRELAY,
		DLT_IPNET, DLT_IPOIB, DLT_NFLOG, DLT_ATM_CLIP, DLT_ARCNET, DLT_ARCNET_LINUX,
		DLT_PKTAP, DLT_IPV4, DLT_IPV6, DLT_USB_LINUX};
	static FILE *sink;
	struct packet p = {0};
	AUTO_FREE uint8_t *copy = NULL; /* exact: a read behind it is found */
	enum parse_res r;

	if (n < 2)
		return 0;
	if (!sink && !(sink = fopen("/dev/null", "w")))
		abort();
	copy = malloc(n - 2 ? n - 2 : 1);
	if (!copy)
		return 0;
	memcpy(copy, data + 2, n - 2);
	r = parse_packet(links[data[0] % ARRAY_SIZE(links)], copy, n - 2, n - 2 + data[1], &p);
	if (r != PARSE_OK)
		return 0;
	if ((p.key.present & ~HAS_ALL) || (p.key.traits & ~TRAITS_ALL) ||
		(p.key.family != 4 && p.key.family != 6) || p.ip < copy ||
		(size_t)(p.ip - copy) + p.ip_captured > n - 2 || p.payload_offset > p.ip_captured ||
		p.payload_captured > p.ip_captured - p.payload_offset ||
		(p.payload_captured > 0 && !(p.key.present & HAS_PAYLOAD_LENGTH)))
		abort();
	classify_packet(&p, NULL);
	if (print_csv_packet(sink, &p) < 0)
		abort();
	return 0;
}
