/* Any bytes as a delegated file of a registry. */
#include "address_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	address_file(KIND_RIR, data, n);
	return 0;
}
