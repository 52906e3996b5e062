#include "common/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct sample {
	char *name, *optional, *path;
	int64_t count, fold, wait;
	uint64_t size;
	bool on;
	struct conf_list addresses, colours;
};

static const char *check_name(const void *value)
{
	const char *const *name = value;

	return *name && strchr(*name, '!') ? "no exclamation marks" : NULL;
}

static const char *check_addresses(const void *value)
{
	const struct conf_list *list = value;

	return list->n > 3 ? "at most three" : NULL;
}

#define AT(m) offsetof(struct sample, m)
static const struct conf_option options[] = {
	{"name", CONF_STRING, AT(name), NULL, 0, 0, CONF_RESTART, "a name", check_name},
	{"optional", CONF_STRING, AT(optional), "", 0, 0, CONF_RELOAD, "may be left out", NULL},
	{"path", CONF_PATH, AT(path), "state/spool", 0, 0, CONF_RESTART, "a folder", NULL},
	{"count", CONF_INT, AT(count), "-5", -10, 10, CONF_RELOAD, "a number", NULL},
	{"fold", CONF_DURATION, AT(fold), "1s", 0, 60000000, CONF_RELOAD, "a window", NULL},
	{"wait", CONF_DURATION, AT(wait), "\"2h\"", 0, 0, CONF_RELOAD, "any duration", NULL},
	{"size", CONF_SIZE, AT(size), "2GiB", 4096, INT64_C(1) << 40, CONF_RELOAD, "bytes", NULL},
	{"on", CONF_BOOL, AT(on), "true", 0, 0, CONF_RELOAD, "a switch", NULL},
	{"addresses", CONF_LIST, AT(addresses), NULL, 0, 0, CONF_RESTART, "a list",
		check_addresses},
	{"colours", CONF_LIST, AT(colours), "{red, \"dark blue\"}", 0, 0, CONF_RELOAD, "a list",
		NULL},
	{0},
};

/* What every valid sample needs; one line. */
#define REQUIRED "name = a addresses = {\"192.0.2.1\"}\n"

static void expect_error(const char *text, const char *want)
{
	struct sample s = {0}, zero = {0};
	char *error = NULL;

	assert_int_equal(conf_load_text(options, "dir/x.conf", text, &s, &error), -EINVAL);
	assert_non_null(error);
	assert_string_equal(error, want);
	assert_memory_equal(&s, &zero, sizeof(s));
	free(error);
}

static void load(const char *text, struct sample *s)
{
	char *error = NULL;

	if (conf_load_text(options, "dir/x.conf", text, s, &error) != 0)
		fail_msg("%s", error);
}

static void test_defaults(void **state)
{
	struct sample s = {0};

	(void)state;
	load(REQUIRED, &s);
	assert_string_equal(s.name, "a");
	assert_null(s.optional);
	assert_string_equal(s.path, "dir/state/spool");
	assert_int_equal(s.count, -5);
	assert_int_equal(s.fold, 1000000);
	assert_int_equal(s.wait, INT64_C(7200000000));
	assert_int_equal(s.size, UINT64_C(1) << 31);
	assert_true(s.on);
	assert_int_equal(s.addresses.n, 1);
	assert_int_equal(s.colours.n, 2);
	assert_string_equal(s.colours.items[0], "red");
	assert_string_equal(s.colours.items[1], "dark blue");
	conf_done(options, &s);
	assert_null(s.name);
	assert_int_equal(s.colours.n, 0);
}

static void test_values(void **state)
{
	struct sample s = {0};

	(void)state;
	load("# comment\nname = \"b c\" // more\npath = /abs/olute\ncount = 10\nfold = 0\nwait = "
	     "200d\n"
	     "size = 256KiB\non = off\naddresses = {\"203.0.113.7\",\n \"2001:db8::/64\"}\n"
	     "addresses += {\"10.0.0.7 = 203.0.113.9\"}\ncolours = {}\noptional = \"\"",
		&s);
	assert_string_equal(s.name, "b c");
	assert_string_equal(s.path, "/abs/olute");
	assert_int_equal(s.count, 10);
	assert_int_equal(s.fold, 0);
	assert_int_equal(s.wait, INT64_C(200) * 86400 * 1000000);
	assert_int_equal(s.size, 262144);
	assert_false(s.on);
	assert_int_equal(s.addresses.n, 3);
	assert_string_equal(s.addresses.items[1], "2001:db8::/64");
	assert_string_equal(s.addresses.items[2], "10.0.0.7 = 203.0.113.9");
	assert_int_equal(s.colours.n, 0);
	assert_null(s.optional);
	conf_done(options, &s);
}

static void test_units(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} durations[] = {{"7us", 7}, {"500ms", 500000}, {"1s", 1000000}, {"10min", 600000000},
		{"2h", INT64_C(7200000000)}, {"1d", INT64_C(86400000000)}};
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {{"5000", 5000}, {"5000B", 5000}, {"4KiB", 4096}, {"3MiB", 3145728},
		{"1TiB", UINT64_C(1) << 40}};
	struct sample s = {0};
	char text[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
		(void)snprintf(text, sizeof(text), REQUIRED "wait = %s", durations[i].text);
		load(text, &s);
		assert_int_equal(s.wait, durations[i].us);
		conf_done(options, &s);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		(void)snprintf(text, sizeof(text), REQUIRED "size = %s", sizes[i].text);
		load(text, &s);
		assert_int_equal(s.size, sizes[i].bytes);
		conf_done(options, &s);
	}
}

static void test_errors(void **state)
{
	(void)state;
	expect_error(REQUIRED "nonsense = 1\n", "dir/x.conf:2: no such option 'nonsense'");
	expect_error(REQUIRED "name { a = 1 }\n",
		"dir/x.conf:2: missing equal sign after option 'name'");
	expect_error(REQUIRED "\ncount = ten", "dir/x.conf:3: count = ten: not a number");
	expect_error(REQUIRED "count = 1.5", "dir/x.conf:2: count = 1.5: not a whole number");
	expect_error(REQUIRED "count = 11", "dir/x.conf:2: count = 11: must be from -10 to 10");
	expect_error(REQUIRED "count = 99999999999999999999",
		"dir/x.conf:2: count = 99999999999999999999: number too large");
	expect_error(REQUIRED "fold = 2min", "dir/x.conf:2: fold = 2min: must be from 0 to 1min");
	expect_error(REQUIRED "fold = 5",
		"dir/x.conf:2: fold = 5: needs a unit: us, ms, s, min, h or d");
	expect_error(REQUIRED "fold = -1s", "dir/x.conf:2: fold = -1s: not a number");
	expect_error(REQUIRED "wait = 9223372036854775807d",
		"dir/x.conf:2: wait = 9223372036854775807d: number too large");
	expect_error(REQUIRED "size = 1kB",
		"dir/x.conf:2: size = 1kB: unknown unit: B, KiB, MiB, GiB or TiB");
	expect_error(
		REQUIRED "size = 1KiB", "dir/x.conf:2: size = 1KiB: must be from 4KiB to 1TiB");
	expect_error(REQUIRED "on = maybe", "dir/x.conf:2: on = maybe: must be true or false");
	expect_error("name = a!\naddresses = {x}", "dir/x.conf:1: name: no exclamation marks");
	expect_error("name = \"\"\naddresses = {x}", "dir/x.conf:1: name: must not be empty");
	expect_error(REQUIRED "path = \"\"", "dir/x.conf:2: path: must not be empty");
	expect_error("name = \"a\\nb\"\naddresses = {x}",
		"dir/x.conf:1: name: control character in the value");
	expect_error("name = a\n\naddresses = {}\n", "dir/x.conf:3: addresses: must not be empty");
	expect_error(
		"name = a\naddresses = {a,\n\"\"}", "dir/x.conf:3: addresses: must not be empty");
	expect_error(
		"name = a\naddresses = {a, b, c, d}", "dir/x.conf:2: addresses: at most three");
	expect_error("name = a\n#\n", "dir/x.conf:2: missing required option 'addresses'");
	expect_error("", "dir/x.conf:1: missing required option 'name'");
	expect_error("name = \"a\n", "dir/x.conf:2: premature end of file");
	expect_error("name = ", "dir/x.conf:1: premature end of file");
}

static void test_twice(void **state)
{
	(void)state;
	expect_error(REQUIRED "count = 1\n\ncount = 1",
		"dir/x.conf:4: count: set twice, first in line 2");
	expect_error(
		REQUIRED "addresses = {x}", "dir/x.conf:2: addresses: set twice, first in line 1");
	expect_error("name = a addresses = {x, y, z}\naddresses = {x}",
		"dir/x.conf:2: addresses: set twice, first in line 1");
	expect_error("name = a addresses = x\naddresses = y",
		"dir/x.conf:2: addresses: set twice, first in line 1");
	expect_error(REQUIRED "addresses = {}", "dir/x.conf:2: addresses: must not be empty");
}

/* A forged line in an error message would be a forged line in the log. */
static void test_error_is_one_line(void **state)
{
	expect_error(REQUIRED "count = \"1\\n2\"",
		"dir/x.conf:2: count: control character in the value");
	expect_error(REQUIRED "'a\nb' = 1", "dir/x.conf:3: no such option '...'");
	/* What is no name may be an address: errors end up in logs. */
	expect_error(REQUIRED "203.0.113.7 = 1", "dir/x.conf:2: no such option '...........'");
	(void)state;
}

static void test_long_list(void **state)
{
	const size_t items = 10000, size = items * 16;
	struct conf_option one[] = {
		{"addresses", CONF_LIST, AT(addresses), NULL, 0, 0, CONF_RESTART, "a list", NULL},
		{0}};
	char *text = malloc(size), *error = NULL;
	struct sample s = {0};
	FILE *out;

	(void)state;
	assert_non_null(text);
	out = fmemopen(text, size, "w");
	assert_non_null(out);
	(void)fprintf(out, "addresses = {a0");
	for (size_t i = 1; i < items; i++)
		(void)fprintf(out, ",\na%zu", i);
	(void)fprintf(out, "}");
	(void)fclose(out);
	assert_int_equal(conf_load_text(one, "x", text, &s, &error), 0);
	assert_int_equal(s.addresses.n, items);
	assert_string_equal(s.addresses.items[9999], "a9999");
	conf_done(one, &s);
	free(text);
}

static void test_file(void **state)
{
	char dir[] = "/tmp/test_conf.XXXXXX", file[64];
	struct sample s = {0};
	char *error = NULL;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/a.conf", dir);
	assert_int_equal(conf_load(options, file, &s, &error), -ENOENT);
	assert_non_null(strstr(error, "a.conf: No such file or directory"));
	free(error);
	assert_int_equal(conf_load(options, dir, &s, &error), -EISDIR);
	free(error);

	f = fopen(file, "w");
	assert_non_null(f);
	(void)fprintf(f, REQUIRED);
	(void)fclose(f);
	assert_int_equal(conf_load(options, file, &s, &error), 0);
	assert_memory_equal(s.path, dir, strlen(dir));
	conf_done(options, &s);

	f = fopen(file, "w");
	assert_non_null(f);
	(void)fwrite("name = a\0b", 1, 10, f);
	(void)fclose(f);
	assert_int_equal(conf_load(options, file, &s, &error), -EILSEQ);
	assert_non_null(strstr(error, "not a text file"));
	free(error);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(dir), 0);

	assert_int_equal(conf_load(options, NULL, &s, &error), -EINVAL);
	assert_string_equal(error, "no configuration file:1: missing required option 'name'");
	free(error);
}

static void test_changed_restart(void **state)
{
	struct sample a = {0}, b = {0};

	(void)state;
	load(REQUIRED, &a);
	load(REQUIRED "count = 3 on = false wait = 1s optional = z colours = {}", &b);
	assert_null(conf_changed_restart(options, &a, &b));
	conf_done(options, &b);
	load("name = a addresses = {\"192.0.2.1\", b}", &b);
	assert_string_equal(conf_changed_restart(options, &a, &b), "addresses");
	conf_done(options, &b);
	load(REQUIRED "path = other", &b);
	assert_string_equal(conf_changed_restart(options, &a, &b), "path");
	conf_done(options, &b);
	conf_done(options, &a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_error_is_one_line),
		cmocka_unit_test(test_long_list),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_changed_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
