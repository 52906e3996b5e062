/* Any bytes as a MaxMind DB. */
#include "address_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	address_file(KIND_MMDB, data, n);
	return 0;
}
