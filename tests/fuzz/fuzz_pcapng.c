/* Any bytes as a pcapng file. */
#include <stdlib.h>

#include "sensor/pcapng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char error[128];
	struct pcapng *p = NULL;
	struct capture_packet c;
	volatile uint8_t sum = 0;
	FILE *f;
	int r;

	if (n < 4 || !pcapng_magic(data))
		return 0;
	f = fmemopen((void *)data, n, "rb");
	if (!f)
		abort();
	if (pcapng_open(f, &p, error, sizeof(error)) < 0) {
		(void)fclose(f);
		return 0;
	}
	while ((r = pcapng_read(p, &c)) == CAPTURE_PACKET) {
		if (c.captured > n || (c.time_us < 0 && c.time_us != CAPTURE_NO_TIME))
			abort();
		for (size_t i = 0; i < c.captured; i++) /* all of it is there */
			sum = sum ^ c.data[i];
	}
	if (r != CAPTURE_END && (r != CAPTURE_BAD_FILE || !*pcapng_error(p)))
		abort();
	p = pcapng_close(p);
	return 0;
}
