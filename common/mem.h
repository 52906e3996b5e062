/* Memory helpers: cleanup attribute, container_of, array size. No policy. */
#ifndef HIRUNDO_COMMON_MEM_H
#define HIRUNDO_COMMON_MEM_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define CLEANUP(fn) __attribute__((cleanup(fn)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void mem_freep(void *p)
{
	free(*(void **)p);
}

static inline void mem_closep(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

/** Frees a heap pointer at the end of its scope. */
#define AUTO_FREE CLEANUP(mem_freep)
/** Closes a file descriptor (when >= 0) at the end of its scope. */
#define AUTO_CLOSE CLEANUP(mem_closep)

#endif
