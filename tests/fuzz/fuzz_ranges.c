/* Any bytes as a CSV file of ranges. */
#include "address_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	address_file(KIND_RANGES, data, n);
	return 0;
}
