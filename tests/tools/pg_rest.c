/*
 * How often the loop turns while a connection has nothing to do:
 *
 *     pg_rest DSN
 *
 * Asks a question, looks only when the answer has long been there (as on a busy machine), then
 * waits 300 ms and prints the turns of the loop in that time.
 */
#include <stdio.h>
#include <unistd.h>

#include "collector/pg.h"

#define WAIT_MS 300

static uv_prepare_t prepare;
static uv_timer_t timer;
static struct pg *pg;
static unsigned turns;
static bool answered;

static void on_closed(void *arg)
{
	(void)arg;
}

static void on_turn(uv_prepare_t *h)
{
	(void)h;
	turns++;
}

static void on_time(uv_timer_t *h)
{
	printf("%u\n", turns);
	uv_close((uv_handle_t *)&prepare, NULL);
	uv_close((uv_handle_t *)h, NULL);
	pg_close(pg, on_closed, NULL);
}

static void on_answer(void *arg, const struct pg_outcome *o)
{
	(void)arg;
	answered = o->failure == PG_FAILURE_NONE;
	turns = 0;
	(void)uv_timer_start(&timer, on_time, WAIT_MS, 0);
}

static void on_up(struct pg *p, void *arg)
{
	pg_query(p, "SELECT 1", on_answer, arg);
	(void)usleep(200 * 1000);
}

int main(int argc, char **argv)
{
	static const struct pg_callbacks calls = {.on_up = on_up};
	uv_loop_t loop;

	if (argc != 2 || uv_loop_init(&loop) < 0 || uv_prepare_init(&loop, &prepare) < 0 ||
		uv_timer_init(&loop, &timer) < 0 || uv_prepare_start(&prepare, on_turn) < 0 ||
		pg_new(&loop, argv[1], NULL, &calls, NULL, &pg) < 0)
		return 1;
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&loop);
	return answered ? 0 : 1;
}
