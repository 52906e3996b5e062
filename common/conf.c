#include "common/conf.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"

/** Largest configuration file, bytes: ten thousand addresses are 400 KB. */
#define CONF_FILE_MAX (1024u * 1024u)
/** Largest single value, bytes; a path is at most PATH_MAX, a connection string shorter. */
#define CONF_VALUE_MAX 4096u

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};
static const struct unit duration_units[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000},
	{"min", INT64_C(60000000)}, {"h", INT64_C(3600000000)}, {"d", INT64_C(86400000000)},
	{NULL, 0}};
static const struct unit size_units[] = {{"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20},
	{"GiB", 1 << 30}, {"TiB", INT64_C(1) << 40}, {NULL, 0}};

/* One run of the parser. */
struct parse {
	const struct conf_option *options;
	const char *name; /* stands for the file in errors */
	void *to;
	size_t n;
	int *lines; /* where each option was set, 0 = not */
	char *error; /* the first one; the rest follows from it */
	bool no_memory;
};

/* libconfuse hands no user pointer to its callbacks, and its lexer is not reentrant either. */
static _Thread_local struct parse *parsing;

static void *member(const struct conf_option *o, const void *base)
{
	return (char *)(uintptr_t)base + o->offset;
}

/* Text from a file must not forge lines in a log or on a terminal. */
static void make_printable(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

static PRINTF_LIKE(3, 0) void vfail(struct parse *p, int line, const char *fmt, va_list ap)
{
	AUTO_FREE char *what = NULL;
	int r;

	if (p->error)
		return;
	if (vasprintf(&what, fmt, ap) < 0) {
		what = NULL;
		p->no_memory = true;
		return;
	}
	if (line > 0)
		r = asprintf(&p->error, "%s:%d: %s", p->name, line, what);
	else
		r = asprintf(&p->error, "%s: %s", p->name, what);
	if (r < 0) {
		p->error = NULL;
		p->no_memory = true;
		return;
	}
	make_printable(p->error);
}

static PRINTF_LIKE(3, 4) void fail(struct parse *p, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfail(p, line, fmt, ap);
	va_end(ap);
}

/* libconfuse quotes the text that it stumbles over. Names of options are shown; anything else may
 * be an address of a sensor, which belongs in no log. */
static void hide_values(char *s)
{
	static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-";
	char *end;

	for (s = strchr(s, '\''); s; s = strchr(end + 1, '\'')) {
		end = strchr(s + 1, '\'');
		if (!end)
			end = s + strlen(s) - 1;
		if (s + 1 + strspn(s + 1, name) < end)
			memset(s + 1, '.', (size_t)(end - s - 1));
	}
}

static PRINTF_LIKE(2, 0) void on_confuse_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	AUTO_FREE char *what = NULL;

	if (vasprintf(&what, fmt, ap) < 0) {
		what = NULL;
		parsing->no_memory = true;
		return;
	}
	hide_values(what);
	fail(parsing, cfg ? cfg->line : 0, "%s", what);
}

static const struct unit *units_of(enum conf_type type)
{
	if (type == CONF_DURATION)
		return duration_units;
	return type == CONF_SIZE ? size_units : no_units;
}

/* @return NULL, or static text what is wrong */
static const char *parse_number(const char *s, enum conf_type type, int64_t *ret)
{
	int64_t v;
	char *end;

	if (!(*s >= '0' && *s <= '9') && !(*s == '-' && type == CONF_INT))
		return "not a number";
	errno = 0;
	v = strtoll(s, &end, 10);
	if (errno == ERANGE)
		return "number too large";
	if (end == s)
		return "not a number";
	for (const struct unit *u = units_of(type); u->name; u++)
		if (strcmp(u->name, end) == 0 || (v == 0 && *end == '\0')) {
			if (__builtin_mul_overflow(v, u->factor, &v))
				return "number too large";
			*ret = v;
			return NULL;
		}
	switch (type) {
	case CONF_DURATION: return "needs a unit: us, ms, s, min, h or d";
	case CONF_SIZE: return "unknown unit: B, KiB, MiB, GiB or TiB";
	case CONF_INT:
	case CONF_STRING:
	case CONF_PATH:
	case CONF_BOOL:
	case CONF_LIST: break;
	}
	return "not a whole number";
}

/* Writes v with the largest unit that divides it. */
static void format_number(int64_t v, enum conf_type type, char *s, size_t n)
{
	const struct unit *best = units_of(type);

	for (const struct unit *u = best; u->name; u++)
		if (v % u->factor == 0 && v != 0)
			best = u;
	(void)snprintf(s, n, "%" PRId64 "%s", v / best->factor, v == 0 ? "" : best->name);
}

static void set_number(struct parse *p, const struct conf_option *o, int line, const char *s)
{
	const char *wrong;
	int64_t v;

	wrong = parse_number(s, o->type, &v);
	if (wrong) {
		fail(p, line, "%s = %s: %s", o->name, s, wrong);
		return;
	}
	if ((o->min != 0 || o->max != 0) && (v < o->min || v > o->max)) {
		char min[32], max[32];

		format_number(o->min, o->type, min, sizeof(min));
		format_number(o->max, o->type, max, sizeof(max));
		fail(p, line, "%s = %s: must be from %s to %s", o->name, s, min, max);
		return;
	}
	if (o->type == CONF_SIZE)
		*(uint64_t *)member(o, p->to) = (uint64_t)v;
	else
		*(int64_t *)member(o, p->to) = v;
}

/* A relative path is taken from the file's folder, so that it means the same wherever a program was
 * started. */
static char *resolve(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');
	char *s;

	if (path[0] == '/' || !slash)
		return strdup(path);
	return asprintf(&s, "%.*s/%s", (int)(slash - file), file, path) < 0 ? NULL : s;
}

static void set_text(struct parse *p, const struct conf_option *o, const char *s)
{
	char **to = member(o, p->to);

	if (*s == '\0')
		return; /* none */
	*to = o->type == CONF_PATH ? resolve(p->name, s) : strdup(s);
	if (!*to)
		p->no_memory = true;
}

static void add_item(struct parse *p, const struct conf_option *o, int line, const char *s)
{
	struct conf_list *list = member(o, p->to);
	char **items;

	/* Room in powers of two, so that long lists stay cheap. */
	if ((list->n & (list->n - 1)) == 0) {
		items = realloc(list->items, (list->n ? list->n * 2 : 1) * sizeof(*items));
		if (!items) {
			p->no_memory = true;
			return;
		}
		list->items = items;
	}
	list->items[list->n] = strdup(s);
	if (!list->items[list->n])
		p->no_memory = true;
	else
		list->n++;
	list->line = line;
}

static void check_value(struct parse *p, const struct conf_option *o, int line)
{
	const char *wrong =
		o->check && !p->error && !p->no_memory ? o->check(member(o, p->to)) : NULL;

	if (wrong)
		fail(p, line, "%s: %s", o->name, wrong);
}

static void set_scalar(struct parse *p, const struct conf_option *o, int line, const char *s)
{
	int b;

	switch (o->type) {
	case CONF_STRING:
	case CONF_PATH: set_text(p, o, s); break;
	case CONF_BOOL:
		b = cfg_parse_boolean(s);
		if (b < 0)
			fail(p, line, "%s = %s: must be true or false", o->name, s);
		else
			*(bool *)member(o, p->to) = b;
		break;
	case CONF_INT:
	case CONF_DURATION:
	case CONF_SIZE: set_number(p, o, line, s); break;
	case CONF_LIST: break; /* values come one by one */
	}
	check_value(p, o, line);
}

/* Called by libconfuse behind each value, and once more behind the closing brace of a list. Takes
 * the value out of libconfuse (NULL stays), which tells the two apart. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt)
{
	struct parse *p = parsing;
	size_t i = (size_t)(opt - cfg->opts);
	const struct conf_option *o = &p->options[i];
	AUTO_FREE char *s = opt->values[opt->nvalues - 1]->string;
	bool list = o->type == CONF_LIST;

	if (!s)
		return 0;
	opt->values[opt->nvalues - 1]->string = NULL;
	/* A second "=" makes libconfuse forget what the list held; "+=" does not. */
	if (p->lines[i] > 0 && (!list || opt->nvalues == 1))
		fail(p, cfg->line, "%s: set twice, first in line %d", o->name, p->lines[i]);
	else if (strlen(s) > CONF_VALUE_MAX)
		fail(p, cfg->line, "%s: value longer than %u bytes", o->name, CONF_VALUE_MAX);
	else if (*s == '\0' && (list || !o->fallback || *o->fallback))
		fail(p, cfg->line, "%s: must not be empty", o->name);
	for (const char *c = s; *c && !p->error; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			fail(p, cfg->line, "%s: control character in the value", o->name);
	if (p->lines[i] == 0)
		p->lines[i] = cfg->line;
	if (!p->error) {
		if (list)
			add_item(p, o, p->lines[i], s);
		else
			set_scalar(p, o, cfg->line, s);
	}
	return p->error || p->no_memory ? -1 : 0;
}

static void parse_text(struct parse *p, cfg_t *cfg, const char *text)
{
	errno = 0;
	if (!*text || cfg_parse_buf(cfg, text) == CFG_SUCCESS || p->error)
		return;
	/* libconfuse says nothing where memory ran out, and where an option's name is "". */
	if (errno == ENOMEM)
		p->no_memory = true;
	else
		fail(p, cfg->line, "syntax error");
}

/* A default: scalars as they are, or in quotes; lists by the parser.
 * @param line  where to say that it contradicts another option */
static void set_fallback(struct parse *p, cfg_t *cfg, const struct conf_option *o, int line)
{
	AUTO_FREE char *text = NULL;
	size_t n = strlen(o->fallback);

	if (n == 0)
		return;
	if (o->type == CONF_LIST) {
		if (asprintf(&text, "%s = %s", o->name, o->fallback) < 0) {
			text = NULL;
			p->no_memory = true;
			return;
		}
		parse_text(p, cfg, text);
		return;
	}
	text = n >= 2 && o->fallback[0] == '"' ? strndup(o->fallback + 1, n - 2)
					       : strdup(o->fallback);
	if (text)
		set_scalar(p, o, line, text);
	else
		p->no_memory = true;
}

static int last_line(const char *text)
{
	int line = 1;

	for (const char *s = strchr(text, '\n'); s && s[1]; s = strchr(s + 1, '\n'))
		line++;
	return line;
}

static void run(struct parse *p, cfg_t *cfg, const char *text)
{
	parse_text(p, cfg, text);
	for (size_t i = 0; i < p->n && !p->error && !p->no_memory; i++) {
		const struct conf_option *o = &p->options[i];
		bool given = (cfg->opts[i].flags & CFGF_MODIFIED) != 0;

		if (!given && !o->fallback)
			fail(p, last_line(text), "missing required option '%s'", o->name);
		else if (!given)
			set_fallback(p, cfg, o, last_line(text));
		else if (o->type == CONF_LIST && !o->fallback && cfg->opts[i].nvalues == 0)
			fail(p, last_line(text), "%s: must not be empty", o->name);
		if (o->type == CONF_LIST)
			check_value(p, o, p->lines[i]);
	}
}

static int parse_all(struct parse *p, const char *text)
{
	AUTO_FREE cfg_opt_t *opts = NULL;
	cfg_t *cfg;

	opts = calloc(p->n + 1, sizeof(*opts));
	p->lines = calloc(p->n + 1, sizeof(*p->lines));
	if (!opts || !p->lines)
		return -ENOMEM;
	for (size_t i = 0; i < p->n; i++) {
		const char *name = p->options[i].name;

		if (p->options[i].type == CONF_LIST)
			opts[i] = (cfg_opt_t)CFG_STR_LIST(name, NULL, CFGF_NODEFAULT);
		else
			opts[i] = (cfg_opt_t)CFG_STR(name, NULL, CFGF_NODEFAULT);
		opts[i].validcb = on_value;
	}
	opts[p->n] = (cfg_opt_t)CFG_END();
	cfg = cfg_init(opts, CFGF_NONE); /* copies opts */
	if (!cfg)
		return -ENOMEM;
	(void)cfg_set_error_function(cfg, on_confuse_error);
	parsing = p;
	run(p, cfg, text);
	parsing = NULL;
	(void)cfg_free(cfg);
	if (p->no_memory)
		return -ENOMEM;
	return p->error ? -EINVAL : 0;
}

int conf_load_text(const struct conf_option *options, const char *name, const char *text, void *to,
	char **ret_error)
{
	struct parse p = {.options = options, .name = name, .to = to};
	int r;

	while (options[p.n].name)
		p.n++;
	r = parse_all(&p, text);
	free(p.lines);
	if (r < 0) {
		conf_done(options, to);
		if (r == -ENOMEM) {
			free(p.error);
			p.error = strdup("out of memory");
		}
		*ret_error = p.error;
	}
	return r;
}

static int read_file(const char *file, struct buf *text)
{
	AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int r;

	if (fd < 0)
		return -errno;
	do {
		r = buf_reserve(text, 4096);
		if (r < 0)
			return r == -ENOBUFS ? -EFBIG : r;
		n = read(fd, buf_tail(text), 4096);
		if (n < 0)
			return -errno;
		buf_added(text, (size_t)n);
	} while (n > 0);
	if (memchr(buf_head(text), '\0', buf_len(text)))
		return -EILSEQ;
	return buf_add(text, "", 1);
}

int conf_load(const struct conf_option *options, const char *file, void *to, char **ret_error)
{
	struct buf text;
	int r;

	if (!file)
		return conf_load_text(options, "no configuration file", "", to, ret_error);
	buf_init(&text, CONF_FILE_MAX);
	r = read_file(file, &text);
	if (r < 0) {
		const char *why = r == -EILSEQ ? "not a text file" : strerror(-r);

		if (asprintf(ret_error, "%s: %s", file, why) < 0)
			*ret_error = NULL;
		else
			make_printable(*ret_error);
	} else {
		r = conf_load_text(options, file, (const char *)buf_head(&text), to, ret_error);
	}
	buf_done(&text);
	return r;
}

void conf_done(const struct conf_option *options, void *to)
{
	for (const struct conf_option *o = options; o->name; o++) {
		void *m = member(o, to);

		switch (o->type) {
		case CONF_STRING:
		case CONF_PATH:
			free(*(char **)m);
			*(char **)m = NULL;
			break;
		case CONF_LIST: {
			struct conf_list *list = m;

			for (size_t i = 0; i < list->n; i++)
				free(list->items[i]);
			free(list->items);
			*list = (struct conf_list){0};
			break;
		}
		case CONF_BOOL: *(bool *)m = false; break;
		case CONF_INT:
		case CONF_DURATION: *(int64_t *)m = 0; break;
		case CONF_SIZE: *(uint64_t *)m = 0; break;
		}
	}
}

static bool text_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool value_equal(const struct conf_option *o, const void *a, const void *b)
{
	switch (o->type) {
	case CONF_STRING:
	case CONF_PATH: return text_equal(*(char *const *)a, *(char *const *)b);
	case CONF_BOOL: return *(const bool *)a == *(const bool *)b;
	case CONF_INT:
	case CONF_DURATION: return *(const int64_t *)a == *(const int64_t *)b;
	case CONF_SIZE: return *(const uint64_t *)a == *(const uint64_t *)b;
	case CONF_LIST: {
		const struct conf_list *x = a, *y = b;
		bool equal = x->n == y->n;

		for (size_t i = 0; equal && i < x->n; i++)
			equal = strcmp(x->items[i], y->items[i]) == 0;
		return equal;
	}
	}
	return false;
}

const char *conf_changed_restart(const struct conf_option *options, const void *a, const void *b)
{
	for (const struct conf_option *o = options; o->name; o++)
		if (o->reload == CONF_RESTART && !value_equal(o, member(o, a), member(o, b)))
			return o->name;
	return NULL;
}

void conf_print_help(const struct conf_option *options)
{
	static const char *const types[] = {
		[CONF_STRING] = "text",
		[CONF_PATH] = "path",
		[CONF_INT] = "number",
		[CONF_BOOL] = "true/false",
		[CONF_DURATION] = "duration",
		[CONF_SIZE] = "size",
		[CONF_LIST] = "list",
	};

	for (const struct conf_option *o = options; o->name; o++) {
		(void)printf("  %-24s %-10s  %s (", o->name, types[o->type], o->help);
		if (!o->fallback)
			(void)printf("required)\n");
		else
			(void)printf("default %s)\n", *o->fallback ? o->fallback : "none");
	}
}
