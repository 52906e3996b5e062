/* Any bytes as a CSV file of overrides. */
#include "address_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	address_file(KIND_OVERRIDES, data, n);
	return 0;
}
