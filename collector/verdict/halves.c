#include "collector/verdict/halves.h"

#include <pthread.h>
#include <stdbool.h>

/* Below this, making a thread takes longer than what it would do. */
#define FEW 32

struct second {
	void (*run)(void *arg, unsigned half, size_t from, size_t end);
	void *arg;
	size_t from, end;
};

static void *run_second(void *arg)
{
	const struct second *s = arg;

	s->run(s->arg, 1, s->from, s->end);
	return NULL;
}

void in_halves(size_t n, void (*run)(void *arg, unsigned half, size_t from, size_t end), void *arg)
{
	struct second s = {.run = run, .arg = arg, .from = n / 2, .end = n};
	pthread_t thread;
	bool beside = n >= FEW && pthread_create(&thread, NULL, run_second, &s) == 0;

	run(arg, 0, 0, s.from);
	if (beside)
		(void)pthread_join(thread, NULL); /* can not fail */
	else
		(void)run_second(&s);
}
