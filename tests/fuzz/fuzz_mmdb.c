/* Any bytes as a MaxMind DB. */
#include "address_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
const char *__lsan_default_suppressions(void);

/* libmaxminddb 1.7 leaks a list when metadata are refused; hirundo-admin ends then. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libmaxminddb.so\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	address_file(KIND_MMDB, data, n);
	return 0;
}
