/* The migrations as they are embedded, and who may work with whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it. */
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "collector/migrate.h"

static char *read_file(const char *name, int version)
{
	AUTO_FREE char *path = NULL;
	const char *tests = getenv("TEST_SOURCE_DIR");
	char *text = NULL;
	size_t n = 0;
	FILE *f, *out;
	int c;

	assert_non_null(tests);
	if (version > 0)
		assert_true(asprintf(&path, "%s/../collector/sql/migrations/%04d_%s.sql", tests,
				    version, name) > 0);
	else
		assert_true(asprintf(&path, "%s/../collector/sql/%s.sql", tests, name) > 0);
	f = fopen(path, "r");
	out = open_memstream(&text, &n);
	assert_non_null(f);
	assert_non_null(out);
	while ((c = getc(f)) != EOF)
		assert_int_equal(putc(c, out), c);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void embedded_text_is_that_of_the_files(void **state)
{
	(void)state;
	assert_true(migrations_n >= 3);
	for (size_t i = 0; i < migrations_n; i++) {
		AUTO_FREE char *text = read_file(migrations[i].name, migrations[i].version);

		assert_int_equal(migrations[i].version, i + 1);
		assert_string_equal(migrations[i].sql, text);
	}
	{
		AUTO_FREE char *text = read_file("roles", 0);

		assert_string_equal(sql_roles, text);
	}
}

static void schema_and_program_fit(void **state)
{
	int newest = (int)migrations_n;

	(void)state;
	assert_int_equal(migrate_judge(newest, 1), MIGRATE_OK);
	assert_int_equal(migrate_judge(newest, newest), MIGRATE_OK);
	assert_int_equal(migrate_judge(MIGRATE_COMPATIBLE_FROM, 1), MIGRATE_OK);
	assert_int_equal(migrate_judge(MIGRATE_COMPATIBLE_FROM - 1, 1), MIGRATE_TOO_OLD);
	assert_int_equal(migrate_judge(0, 0), MIGRATE_TOO_OLD);
	/* Newer, and takes us all the same; newer, and does not. */
	assert_int_equal(migrate_judge(newest + 5, 1), MIGRATE_OK);
	assert_int_equal(migrate_judge(newest + 5, newest), MIGRATE_OK);
	assert_int_equal(migrate_judge(newest + 5, newest + 1), MIGRATE_REFUSED);
	/* The program works with every schema that it would not ask to migrate. */
	assert_true(MIGRATE_COMPATIBLE_FROM <= newest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(embedded_text_is_that_of_the_files),
		cmocka_unit_test(schema_and_program_fit),
	};

	return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
