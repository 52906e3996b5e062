#include "collector/dashboard/format.h"

#include <stdbool.h>
#include <string.h>

#include "collector/text.h"

/* Types by their numbers, which are fixed (PostgreSQL, pg_type.dat). */
enum {
	TYPE_BOOL = 16,
	TYPE_INT8 = 20,
	TYPE_INT2 = 21,
	TYPE_INT4 = 23,
	TYPE_FLOAT4 = 700,
	TYPE_FLOAT8 = 701,
	TYPE_INET = 869,
	TYPE_DATE = 1082,
	TYPE_TIMESTAMPTZ = 1184,
	TYPE_NUMERIC = 1700,
};

int format_json_text(struct buf *out, const char *s)
{
	int r = text_add(out, "\"");

	while (r == 0 && *s) {
		size_t plain = 0;

		while ((unsigned char)s[plain] >= ' ' && s[plain] != '"' && s[plain] != '\\')
			plain++;
		r = buf_add(out, s, plain);
		s += plain;
		if (r < 0 || !*s)
			break;
		if (*s == '"' || *s == '\\')
			r = text_add(out, "\\%c", *s);
		else
			r = text_add(out, "\\u%04x", (unsigned)(unsigned char)*s);
		s++;
	}
	return r < 0 ? r : text_add(out, "\"");
}

static int add_csv(struct buf *out, const char *s, bool text)
{
	int r = 0;
	bool guard = text && *s && strchr("=+-@\t\r", *s);

	if (*s && !guard && !strpbrk(s, ",\"\r\n"))
		return buf_add(out, s, strlen(s));
	r = text_add(out, "\"%s", guard ? "'" : "");
	while (r == 0 && *s) {
		size_t n = strcspn(s, "\"");

		r = buf_add(out, s, n);
		s += n;
		if (r == 0 && *s) {
			r = buf_add(out, "\"\"", 2);
			s++;
		}
	}
	return r < 0 ? r : text_add(out, "\"");
}

/* "2026-01-30 09:00:00.5+09" as ISO 8601 has it: "2026-01-30T09:00:00.5+09:00". Infinity stays. */
static int add_time(struct buf *out, const char *s)
{
	const char *space = strchr(s, ' '), *offset;
	int r;

	if (!space)
		return buf_add(out, s, strlen(s));
	offset = strpbrk(space, "+-");
	r = text_add(out, "%.*sT%s", (int)(space - s), s, space + 1);
	return r < 0 || !offset || strchr(offset, ':') ? r : text_add(out, ":00");
}

static int add_value(struct buf *out, Oid type, const char *s)
{
	switch (type) {
	case TYPE_TIMESTAMPTZ: return add_time(out, s);
	case TYPE_BOOL:
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
	case TYPE_FLOAT4:
	case TYPE_FLOAT8:
	case TYPE_NUMERIC:
	case TYPE_INET:
	case TYPE_DATE: return add_csv(out, s, false);
	default: return add_csv(out, s, true);
	}
}

int format_csv_header(struct buf *out, const PGresult *res)
{
	int r = 0;

	for (int i = 0; r == 0 && i < PQnfields(res); i++) {
		r = i > 0 ? text_add(out, ",") : 0;
		if (r == 0)
			r = add_csv(out, PQfname(res, i), true);
	}
	return r < 0 ? r : text_add(out, "\r\n");
}

int format_csv_rows(struct buf *out, const PGresult *res)
{
	int r = 0;

	for (int row = 0; r == 0 && row < PQntuples(res); row++) {
		for (int i = 0; r == 0 && i < PQnfields(res); i++) {
			r = i > 0 ? text_add(out, ",") : 0;
			if (r == 0 && !PQgetisnull(res, row, i))
				r = add_value(out, PQftype(res, i), PQgetvalue(res, row, i));
		}
		if (r == 0)
			r = text_add(out, "\r\n");
	}
	return r;
}
