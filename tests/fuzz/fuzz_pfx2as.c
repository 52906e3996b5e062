/* Any bytes as a pfx2as file. */
#include "address_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	address_file(KIND_PFX2AS, data, n);
	return 0;
}
